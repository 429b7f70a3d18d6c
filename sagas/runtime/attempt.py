"""One message, one attempt: claim it, run it, record how it ended."""

import logging
import random
import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from celery import Task
from celery.exceptions import Retry as CeleryRetry

from sagas import faults
from sagas.context import Context, Failure
from sagas.decision import (
    Broke,
    Done,
    Dropped,
    Fenced,
    Granted,
    Probed,
    Recorded,
    Refused,
    Result,
    RetryLater,
    SagaState,
    Succeeded,
    claim,
    conclude,
    remaining,
)
from sagas.definition import Call, StepDefinition
from sagas.errors import AttemptSuperseded, PayloadTooLarge, SagaNotFound, StepFailed
from sagas.record.store import Transition
from sagas.runtime.app import Runtime, runtime_of
from sagas.runtime.described import described, fit_to_show
from sagas.runtime.messages import Chain, Link
from sagas.secret import secrets_in
from sagas.states import Operation, Outcome, StepStatus

__all__ = ["run_attempt"]

logger = logging.getLogger(__name__)


def run_attempt(
    task: Task,
    definition: StepDefinition[Any, Any],
    operation: Operation,
    args: Sequence[Any],
) -> str:
    """Run one attempt of an action or a compensation, if the record lets it.

    Returns a word for Celery's log. Raises what the function raised, so that Celery marks the
    attempt as failed and sends the errback; raises Celery's Retry where a later attempt follows.
    """
    if (link := Link.read(args)) is None:
        task.request.chain = None
        logger.warning("A message for %s is none that the engine sends; dropped.", task.name)
        return "dropped: malformed"
    return _Attempt(runtime_of(task.app), task, definition, operation, link).run()


class _Attempt:
    def __init__(
        self,
        runtime: Runtime,
        task: Task,
        definition: StepDefinition[Any, Any],
        operation: Operation,
        link: Link,
    ) -> None:
        self.runtime = runtime
        self.task = task
        self.definition = definition
        self.call = _call_of(definition, operation)
        self.operation = operation
        self.saga_id = link.saga_id
        self.step = link.step
        self.epoch = link.epoch
        self.token = uuid.uuid4().hex
        self.actor = f"worker {runtime.hostname}"
        self.error: Exception | None = None
        self.secrets: frozenset[str] = frozenset()

    def run(self) -> str:
        claimed = self._claim()
        if claimed is None:
            return self._drop("the record has no such saga")
        match claimed.decision.answer:
            case Granted() as granted:
                return self._granted(claimed, granted)
            case Done():
                return "done before"
            case Dropped(reason):
                return self._drop(reason)
            case other:
                raise AssertionError(f"A claim was answered with {other!r}.")

    def _claim(self) -> Transition | None:
        holder = {
            "worker": self.runtime.worker_id,
            "hostname": self.runtime.hostname,
            "task_id": self.task.request.id,
        }

        def decide(saga: SagaState) -> Any:
            return claim(
                saga,
                self.step,
                self.operation,
                epoch=self.epoch,
                token=self.token,
                holder=holder,
                timing=self.runtime.settings.timing,
            )

        return self.runtime.store.transition(self.saga_id, decide, actor=self.actor)

    def _drop(self, reason: str) -> str:
        self.task.request.chain = None  # the rest of this chain is void with it
        logger.info(
            "Saga %s, %s of %s: dropped, %s.", self.saga_id, self.operation, self.step, reason
        )
        return f"dropped: {reason}"

    def _granted(self, claimed: Transition, granted: Granted) -> str:
        self.runtime.messages.note_clock(claimed.before.now)
        key = claimed.before.key
        faults.reach(f"{self.operation}.claimed", key, self.step)
        result = self._run_function(claimed, granted)
        faults.reach(f"{self.operation}.returned", key, self.step)
        concluded = self._conclude(result)
        point = "recorded" if isinstance(result, Succeeded) else "refused"
        faults.reach(f"{self.operation}.{point}", key, self.step)
        if dispatch := concluded.decision.dispatch:
            self.runtime.messages.publish(Chain(concluded.after, dispatch, concluded.epoch))
        match concluded.decision.answer:
            case Recorded(ended):
                return self._recorded(concluded, ended=ended)
            case RetryLater(wait_s):
                raise CeleryRetry(f"attempt failed, next in {wait_s:.1f} s", self.error, wait_s)
            case Fenced():
                return self._drop("the saga went on without it")
            case other:
                raise AssertionError(f"The end of an attempt was answered with {other!r}.")

    def _run_function(self, claimed: Transition, granted: Granted) -> Result:
        probed = None
        try:
            given = self.call.input.load(self._read(claimed.input))
            context = self._context(claimed, granted.attempt)
            if granted.ask:
                probed = self._ask(given, context)
                if (result := self._settled_by(probed, granted)) is not None:
                    return result
                context = self._informed(context, probed)
            text = self.call.output.dump(self.call(given, context))
            return Succeeded(self._keep(text), probed)
        except StepFailed as error:
            return Refused(self._describe(error), probed)
        except PayloadTooLarge as error:
            return Broke(self._describe(error), final=True, probed=probed)
        except Exception as error:  # noqa: BLE001 - whatever the participant raises is its outcome
            return Broke(self._describe(error), probed=probed)

    def _ask(self, given: Any, context: Context) -> Probed:
        """Ask the participant whether the action happened, as the action would have asked it."""
        probe = self.definition.asks
        if probe is None:  # the plan that the saga is pinned to has a probe, this code has none
            raise LookupError(f"{self.step} has no probe in the code of this worker")
        answer = probe(given, replace(context, operation=Operation.ACTION))
        if answer is None or answer is False:
            return Probed(happened=False)
        action = self.definition.action.output
        output = None if answer is True and action.annotation is not bool else answer
        return Probed(happened=True, output=self._keep(action.dump(output)))

    def _settled_by(self, probed: Probed, granted: Granted) -> Result | None:
        """Return what the probe's answer alone decides, or None where the function must run."""
        if self.operation is Operation.COMPENSATION:
            return None if probed.happened else Succeeded(probed=probed)
        if probed.happened:
            return Succeeded(probed.output, probed)
        if granted.run:
            return None
        message = f"The attempts of {self.step} ran out, and its probe found that it did not happen"
        return Refused({"type": "AttemptsExhausted", "message": f"{message}."}, probed)

    def _informed(self, context: Context, probed: Probed) -> Context:
        if self.operation is Operation.ACTION or probed.output is None:
            return context
        output = self.definition.action.output.load(self._read(probed.output))
        return replace(context, output=output, outcome=Outcome.SUCCESS)

    def _context(self, claimed: Transition, attempt: int) -> Context:
        saga = claimed.before
        outputs = {name: kept and self._read(kept) for name, kept in claimed.outputs.items()}
        undoing: dict[str, Any] = {}
        if self.operation is Operation.COMPENSATION:
            undoing = self._what_to_undo(outputs.get(self.step), saga)
        return Context(
            saga_id=saga.id,
            key=saga.key,
            step=self.step,
            operation=self.operation,
            attempt=attempt,
            result_type=self.call.output,
            outputs=outputs,
            confirm=self._confirm,
            **undoing,
        )

    def _what_to_undo(self, text: str | None, saga: SagaState) -> dict[str, Any]:
        failure = saga.failure
        return {
            "output": None if text is None else self.definition.action.output.load(text),
            "outcome": Outcome.UNKNOWN if text is None else Outcome.SUCCESS,
            "failure": failure
            and Failure(failure["step"], failure["type"], failure["message"], failure.get("code")),
        }

    def _keep(self, text: str) -> str:
        self.secrets |= secrets_in(text)
        return self.runtime.vault.keep(text, f"What {self.step} returned")

    def _read(self, kept: str) -> str:
        text = self.runtime.vault.read(kept)
        self.secrets |= secrets_in(text)
        return text

    def _describe(self, error: Exception) -> dict[str, Any]:
        """Describe an error for the record, without the secrets of the saga's payloads."""
        self.error = fit_to_show(error, self.secrets)
        return described(error, self.secrets)

    def _conclude(self, result: Result) -> Transition:
        chance = random.random()

        def decide(saga: SagaState) -> Any:
            return conclude(
                saga,
                self.step,
                self.operation,
                result,
                epoch=self.epoch,
                token=self.token,
                timing=self.runtime.settings.timing,
                chance=chance,
            )

        concluded = self.runtime.store.transition(self.saga_id, decide, actor=self.actor)
        if concluded is None:
            raise SagaNotFound(f"Saga {self.saga_id} vanished from the record during {self.step}.")
        return concluded

    def _recorded(self, concluded: Transition, *, ended: bool) -> str:
        if self.error is not None:
            raise self.error
        if concluded.decision.dispatch:  # the saga turned back: the rest of this chain is void
            self.task.request.chain = None
        elif not ended and not self.task.request.chain:
            self._send_next_piece(concluded)
        return concluded.status if ended else StepStatus.SUCCESS

    def _send_next_piece(self, concluded: Transition) -> None:
        """Go on where this chain was one piece of a long plan."""
        after = concluded.after
        if dispatch := remaining(after, self.operation):
            self.runtime.messages.publish(Chain(after, dispatch, concluded.epoch))

    def _confirm(self) -> None:
        held = self.runtime.store.holds(self.saga_id, self.step, self.token, self.epoch)
        if not held:
            raise AttemptSuperseded(
                f"Saga {self.saga_id} went on without this attempt of {self.step}. "
                "Stop here, and leave no further effect."
            )


def _call_of(definition: StepDefinition[Any, Any], operation: Operation) -> Call:
    call = definition.action if operation is Operation.ACTION else definition.undo
    if call is None:
        raise AssertionError(f"{definition.name} has no compensation")
    return call
