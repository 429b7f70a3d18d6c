"""Running the function of a step, and what its end tells."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sagas.context import Context, Failure
from sagas.decision import Broke, Granted, Probed, Refused, Result, SagaState, Succeeded
from sagas.definition import Call, StepDefinition
from sagas.errors import PayloadTooLarge, StepFailed
from sagas.record.store import Transition
from sagas.runtime.app import Runtime
from sagas.runtime.described import described, fit_to_show
from sagas.secret import secrets_in
from sagas.states import Operation, Outcome

__all__ = ["Execution"]


class Execution:
    """One run of an action or a compensation, its probe first where its outcome is in doubt.

    ``error`` is what is to be raised for Celery to see, None where the function returned.
    """

    def __init__(
        self,
        runtime: Runtime,
        definition: StepDefinition[Any, Any],
        operation: Operation,
        step: str,
        confirm: Callable[[], None],
    ) -> None:
        self._runtime = runtime
        self._definition = definition
        self._operation = operation
        self._call = _call_of(definition, operation)
        self._step = step
        self._confirm = confirm
        self._secrets: frozenset[str] = frozenset()  # of every payload that was read or kept
        self.error: Exception | None = None

    def run(self, claimed: Transition, granted: Granted) -> Result:
        """Run it, and return what is known of it."""
        probed = None
        try:
            given = self._call.input.load(self._read(claimed.input))
            context = self._context(claimed, granted.attempt)
            if granted.ask:
                probed = self._ask(given, context)
                if (result := self._settled_by(probed, granted)) is not None:
                    return result
                context = self._informed(context, probed)
            text = self._call.output.dump(self._call(given, context))
            return Succeeded(self._keep(text), probed)
        except StepFailed as error:
            return Refused(self._describe(error), probed)
        except PayloadTooLarge as error:
            return Broke(self._describe(error), final=True, probed=probed)
        except Exception as error:  # noqa: BLE001 - whatever the participant raises is its outcome
            return Broke(self._describe(error), probed=probed)

    def _ask(self, given: Any, context: Context) -> Probed:
        """Ask the participant whether the action happened, as the action would have asked it."""
        probe = self._definition.asks
        if probe is None:  # the plan that the saga is pinned to has a probe, this code has none
            raise LookupError(f"{self._step} has no probe in the code of this worker")
        answer = probe(given, replace(context, operation=Operation.ACTION))
        if answer is None or answer is False:
            return Probed(happened=False)
        action = self._definition.action.output
        output = None if answer is True and action.annotation is not bool else answer
        return Probed(happened=True, output=self._keep(action.dump(output)))

    def _settled_by(self, probed: Probed, granted: Granted) -> Result | None:
        """Return what the probe's answer alone decides, or None where the function must run."""
        if self._operation is Operation.COMPENSATION:
            return None if probed.happened else Succeeded(probed=probed)
        if probed.happened:
            return Succeeded(probed.output, probed)
        if granted.run:
            return None
        message = f"The attempts of {self._step} ran out, and its probe found no effect."
        self.error = StepFailed(message)  # raised, so that Celery sends the errback
        return Refused({"type": "AttemptsExhausted", "message": message}, probed)

    def _informed(self, context: Context, probed: Probed) -> Context:
        if self._operation is Operation.ACTION or probed.output is None:
            return context
        output = self._definition.action.output.load(self._read(probed.output))
        return replace(context, output=output, outcome=Outcome.SUCCESS)

    def _context(self, claimed: Transition, attempt: int) -> Context:
        saga = claimed.before
        outputs = {name: kept and self._read(kept) for name, kept in claimed.outputs.items()}
        undoing: dict[str, Any] = {}
        if self._operation is Operation.COMPENSATION:
            undoing = self._what_to_undo(outputs.get(self._step), saga)
        return Context(
            saga_id=saga.id,
            key=saga.key,
            step=self._step,
            operation=self._operation,
            attempt=attempt,
            result_type=self._call.output,
            outputs=outputs,
            confirm=self._confirm,
            **undoing,
        )

    def _what_to_undo(self, text: str | None, saga: SagaState) -> dict[str, Any]:
        failure = saga.failure
        return {
            "output": None if text is None else self._definition.action.output.load(text),
            "outcome": Outcome.UNKNOWN if text is None else Outcome.SUCCESS,
            "failure": failure
            and Failure(failure["step"], failure["type"], failure["message"], failure.get("code")),
        }

    def _keep(self, text: str) -> str:
        self._secrets |= secrets_in(text)
        return self._runtime.vault.keep(text, f"What {self._step} returned")

    def _read(self, kept: str) -> str:
        text = self._runtime.vault.read(kept)
        self._secrets |= secrets_in(text)
        return text

    def _describe(self, error: Exception) -> dict[str, Any]:
        self.error = fit_to_show(error, self._secrets)
        return described(error, self._secrets)


def _call_of(definition: StepDefinition[Any, Any], operation: Operation) -> Call:
    call = definition.action if operation is Operation.ACTION else definition.undo
    if call is None:
        raise AssertionError(f"{definition.name} has no compensation")
    return call
