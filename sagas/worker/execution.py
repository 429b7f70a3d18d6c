"""Running the function of a step, and what its result means."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sagas.context import CompensationContext, Context, Failure
from sagas.decision import (
    AttemptError,
    Errored,
    Granted,
    Probed,
    Refused,
    Result,
    SagaFailure,
    Succeeded,
    call_of,
)
from sagas.definition import Call, StepDefinition
from sagas.errors import PayloadTooLarge, StepFailed
from sagas.record.store import Committed
from sagas.runtime.app import Runtime
from sagas.secret import secrets_in
from sagas.states import Operation, Outcome
from sagas.worker.end_of_process import ends_process
from sagas.worker.error_report import describe_attempt_error, safe_to_log
from sagas.worker.time_limit import soft_limit

__all__ = ["Execution"]


class Execution:
    """One run of an action or a compensation; the probe runs first where the outcome is in doubt.

    ``error`` is what to raise for Celery, None if the function returned. ``end_of_process`` is to
    be raised instead, once the result is recorded, where this process was told to end meanwhile.
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
        self._probed: Probed | None = None
        self._secrets: frozenset[str] = frozenset()  # of every payload decoded or encoded here
        self.error: Exception | None = None
        self.end_of_process: BaseException | None = None

    def run(self, claimed: Committed, granted: Granted) -> Result:
        """Run it and return the result, whatever it raises."""
        planned = call_of(claimed.before, self._step, self._operation)
        try:
            with soft_limit(planned.timeout_s):
                return self._run(claimed, granted)
        except StepFailed as error:
            return Refused(self._describe(error), self._probed)
        except PayloadTooLarge as error:
            return Errored(self._describe(error), final=True, probed=self._probed)
        except BaseException as error:  # noqa: BLE001 - anything that a participant raises is a result
            if ends_process(error):
                self.end_of_process = error
            return Errored(self._describe(error), probed=self._probed)

    def _run(self, claimed: Committed, granted: Granted) -> Result:
        given = self._call.input.load(self._read(claimed.input))
        context = self._context(claimed, granted.attempt)
        if granted.ask:
            self._probed = self._ask(given, context)
            if (result := self._settled_by(self._probed, granted)) is not None:
                return result
            context = self._informed(context, self._probed)
        text = self._call.output.dump(self._call(given, context))
        return Succeeded(self._keep(text), self._probed)

    def _ask(self, given: Any, context: Context) -> Probed:
        """Ask the participant whether the action happened."""
        probe = self._definition.probe_call
        if probe is None:  # the saga's plan has a probe, but this code does not
            raise LookupError(f"{self._step} has no probe in the code of this worker")
        answer = probe(given, replace(context, operation=Operation.ACTION))
        if answer is None or answer is False:
            return Probed(happened=False)
        action = self._definition.action.output
        output = None if answer is True and action.annotation is not bool else answer
        return Probed(happened=True, output=self._keep(action.dump(output)))

    def _settled_by(self, probed: Probed, granted: Granted) -> Result | None:
        """Return the result that follows from the probe alone, None if the function must run."""
        if self._operation is Operation.COMPENSATION:
            return None if probed.happened else Succeeded(probed=probed)
        if probed.happened:
            return Succeeded(probed.output, probed)
        if granted.run:
            return None
        message = f"{self._step} has no attempts left, and its probe found no effect."
        self.error = StepFailed(message)  # raised, so that Celery sends the errback
        return Refused({"type": "AttemptsExhausted", "message": message}, probed)

    def _informed(self, context: Context, probed: Probed) -> Context:
        if self._operation is Operation.ACTION or probed.output is None:
            return context
        output = self._definition.action.output.load(self._read(probed.output))
        return replace(context, output=output, outcome=Outcome.SUCCESS)

    def _context(self, claimed: Committed, attempt: int) -> Context:
        saga = claimed.before
        outputs = {name: kept and self._read(kept) for name, kept in claimed.outputs.items()}
        common: dict[str, Any] = {
            "saga_id": saga.id,
            "key": saga.key,
            "step": self._step,
            "operation": self._operation,
            "attempt": attempt,
            "_result_type": self._call.output,
            "_outputs": outputs,
            "_confirm": self._confirm,
        }
        if self._operation is Operation.ACTION:
            return Context(**common)
        text = outputs.get(self._step)
        return CompensationContext(
            **common,
            output=None if text is None else self._definition.action.output.load(text),
            outcome=Outcome.UNKNOWN if text is None else Outcome.SUCCESS,
            failure=_failure(saga.failure),
        )

    def _keep(self, text: str) -> str:
        self._secrets |= secrets_in(text)
        return self._runtime.payload_codec.encode(text, f"The output of {self._step}")

    def _read(self, kept: str) -> str:
        text = self._runtime.payload_codec.decode(kept)
        self._secrets |= secrets_in(text)
        return text

    def _describe(self, error: BaseException) -> AttemptError:
        self.error = safe_to_log(error, self._secrets)
        return describe_attempt_error(error, self._secrets)


def _failure(failure: SagaFailure | None) -> Failure:
    if failure is None:
        raise AssertionError("A saga that turns back has a failure.")
    return Failure(failure["step"], failure["type"], failure["message"], failure.get("code"))


def _call_of(definition: StepDefinition[Any, Any], operation: Operation) -> Call:
    call = definition.action if operation is Operation.ACTION else definition.compensation_call
    if call is None:
        raise AssertionError(f"{definition.name} has no compensation")
    return call
