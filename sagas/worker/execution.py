"""Running the function of a step, and what its result means."""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from billiard.exceptions import SoftTimeLimitExceeded

from sagas.context import CompensationContext, Context, Failure
from sagas.decision import (
    AttemptError,
    Errored,
    Granted,
    Postponed,
    Probed,
    Refused,
    Result,
    SagaFailure,
    Succeeded,
    call_of,
)
from sagas.definition import Call, StepDefinition
from sagas.errors import InvalidPayload, PayloadTooLarge, RetryAfter, StepFailed
from sagas.hidden import Sealed
from sagas.payload import Payload, describe_error
from sagas.record.store import Committed
from sagas.runtime.app import Runtime
from sagas.runtime.log_fields import log_fields, of_saga
from sagas.secret import secrets_in
from sagas.states import Operation, Outcome
from sagas.worker.end_of_process import ends_process, is_cut_off
from sagas.worker.error_report import describe_attempt_error, safe_to_log
from sagas.worker.outputs import Outputs
from sagas.worker.time_limit import soft_limit

__all__ = ["Execution"]

logger = logging.getLogger(__name__)


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
        began = time.monotonic()
        try:
            with soft_limit(planned.timeout_s):
                return self._run(claimed, granted)
        except StepFailed as error:
            return Refused(self._describe(error), self._probed)
        except RetryAfter as error:
            return Postponed(self._describe(error), error.seconds, self._probed)
        except BaseException as error:  # noqa: BLE001 - anything that a participant raises is a result
            if ends_process(error):
                self.end_of_process = error
            return Errored(
                self._describe(error),
                final=self._is_final(error),
                probed=self._probed,
                # A pool tells a process to end for an attempt that overran its timeout, too.
                lost=(self.end_of_process is not None or is_cut_off(error))
                and (planned.timeout_s is None or time.monotonic() - began < planned.timeout_s),
            )

    def _run(self, claimed: Committed, granted: Granted) -> Result:
        try:
            given = self._given(claimed)
            context = self._context(claimed, granted.attempt)
        except InvalidPayload as error:  # the function was never entered
            return Refused(self._describe(error))
        if granted.ask:
            found = self._probe_first(given, context, granted)
            if not isinstance(found, Context):
                return found
            context = found
        returned = Sealed(self._call(given, context))
        context._require_commits()  # noqa: SLF001 - the engine's half of ctx.once()
        return Succeeded(self._output_of(returned), self._probed)

    def _probe_first(
        self, given: Sealed[Any], context: Context, granted: Granted
    ) -> Context | Result:
        """Ask the probe; return the result if that settles it, or the context for the function."""
        try:
            probed = self._ask(given, context)
            informed = self._informed(context, probed)
        except SoftTimeLimitExceeded:
            raise
        except Exception as error:
            if granted.insist and isinstance(error, RetryAfter):
                raise
            if granted.insist:
                return Errored(self._describe(error), final=self._is_final(error))
            logger.warning(
                "The probe of %s (saga %s) has no attempts left (%s): it is undone without.",
                self._step,
                context.saga_id,
                self._describe(error)["message"],
                extra=log_fields(
                    context.saga_id,
                    key=context.key,
                    step=self._step,
                    operation=str(self._operation),
                    attempt=context.attempt,
                ),
            )
            self.error = None
            return context
        self._probed = probed
        return self._settled_by(probed, granted) or informed

    def _is_final(self, error: BaseException) -> bool:
        """Tell whether a repetition is of no use: it would have its effect, and end like this."""
        return isinstance(error, PayloadTooLarge | InvalidPayload)

    def _output_of(self, returned: Sealed[Any]) -> str | None:
        """Return what the record keeps; what a compensation returns is not kept."""
        if self._operation is Operation.COMPENSATION:
            return None
        return self._keep(self._written(returned))

    def _written(self, returned: Sealed[Any]) -> str:
        """Write an output of the action.

        Raises:
            InvalidPayload: it cannot be recorded.
        """
        output = self._definition.action.output
        try:
            return output.dump(returned.value)
        except SoftTimeLimitExceeded:
            raise
        except Exception as error:  # noqa: BLE001 - validators of the application raise anything
            problem = describe_error(error)
        raise InvalidPayload(
            f"Step {self._step} did its work, and its output cannot be recorded: {problem}. It is "
            "not run again. Return what its return type says, and what that type reads back."
        )

    def _ask(self, given: Sealed[Any], context: Context) -> Probed:
        """Ask the participant whether the action happened."""
        probe = self._definition.probe_call
        if probe is None:  # the saga's plan has a probe, but this code does not
            raise LookupError(f"{self._step} has no probe in the code of this worker")
        answer = Sealed(probe(given, replace(context, operation=Operation.ACTION)))
        if answer.value is None or answer.value is False:
            return Probed(happened=False)
        action = self._definition.action.output
        if answer.value is True and not action.accepts_true:
            # It happened, and its output is not known, which for a step without one is no loss.
            return Probed(happened=True, output=self._keep("null") if action.is_none else None)
        try:
            return Probed(happened=True, output=self._keep(self._written(answer)))
        except (InvalidPayload, PayloadTooLarge):
            if self._operation is Operation.ACTION:
                raise
            return Probed(happened=True)  # it is to be undone, whatever it returned

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
        if self._operation is Operation.ACTION or not probed.happened:
            return context
        found = None
        if probed.output is not None:
            found = self._definition.action.output.load(self._read(probed.output))
        return replace(context, output=found, outcome=Outcome.SUCCESS)

    def _given(self, claimed: Committed) -> Sealed[Any]:
        """Read the saga's input.

        Raises:
            InvalidPayload: an action cannot read it. A compensation gets what it can read of it.
        """
        text = self._read(claimed.input)
        given, problem = self._salvaged(self._call.input, text, "input", claimed)
        if problem is not None and self._operation is Operation.ACTION:
            raise InvalidPayload(
                f"Step {self._step} cannot read the input of its saga, and was not run: {problem}. "
                "Let the type accept what older sagas were started with."
            )
        return given

    def _salvaged(
        self, payload: Payload, text: str, what: str, claimed: Committed
    ) -> tuple[Sealed[Any], str | None]:
        value, problem = payload.load_or_salvage(text)
        if problem is not None and self._operation is Operation.COMPENSATION:
            logger.warning(
                "Saga %s, compensation of %s: the stored %s is not of its type any more (%s). "
                "The compensation gets what can still be read.",
                claimed.before.id,
                self._step,
                what,
                problem,
                extra=of_saga(claimed.before, step=self._step, operation=str(self._operation)),
            )
        return Sealed(value), problem

    def _context(self, claimed: Committed, attempt: int) -> Context:
        saga = claimed.before
        outputs = Outputs(claimed.payloads, self._read)
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
        output: Sealed[Any] = Sealed(None)
        if (text := outputs.get(self._step)) is not None:
            output, _ = self._salvaged(self._definition.action.output, text, "output", claimed)
        in_doubt = text is None and saga.step(self._step).doubtful
        return CompensationContext(
            **common,
            output=output.value,
            outcome=Outcome.UNKNOWN if in_doubt else Outcome.SUCCESS,
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
