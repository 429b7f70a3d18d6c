"""One message, one attempt: claim it, run it, record how it ended."""

import logging
import random
import traceback
import uuid
from typing import Any
from uuid import UUID

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
from sagas.errors import AttemptSuperseded, SagaNotFound, StepFailed
from sagas.payload import describe_error
from sagas.record.store import Transition
from sagas.runtime.app import Runtime, runtime_of
from sagas.states import Operation, Outcome, StepStatus

__all__ = ["run_attempt"]

logger = logging.getLogger(__name__)

_TRACEBACK_LIMIT = 10_000


def run_attempt(
    task: Task,
    definition: StepDefinition[Any, Any],
    operation: Operation,
    saga_id: str,
    step: str,
    epoch: int,
) -> str:
    """Run one attempt of an action or a compensation, if the record lets it.

    Returns a word for Celery's log. Raises what the function raised, so that Celery marks the
    attempt as failed and sends the errback; raises Celery's Retry where a later attempt follows.
    """
    runtime = runtime_of(task.app)
    attempt = _Attempt(runtime, task, definition, operation, UUID(saga_id), step, epoch)
    return attempt.run()


class _Attempt:
    def __init__(
        self,
        runtime: Runtime,
        task: Task,
        definition: StepDefinition[Any, Any],
        operation: Operation,
        saga_id: UUID,
        step: str,
        epoch: int,
    ) -> None:
        self.runtime = runtime
        self.task = task
        self.definition = definition
        self.call = _call_of(definition, operation)
        self.operation = operation
        self.saga_id = saga_id
        self.step = step
        self.epoch = epoch
        self.token = uuid.uuid4().hex
        self.actor = f"worker {runtime.hostname}"
        self.error: Exception | None = None

    def run(self) -> str:
        claimed = self._claim()
        if claimed is None:
            return self._drop("the record has no such saga")
        match claimed.decision.answer:
            case Granted(attempt):
                return self._granted(claimed, attempt)
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

    def _granted(self, claimed: Transition, attempt: int) -> str:
        self.runtime.messages.note_clock(claimed.before.now)
        key = claimed.before.key
        faults.reach(f"{self.operation}.claimed", key, self.step)
        result = self._run_function(claimed, attempt)
        faults.reach(f"{self.operation}.returned", key, self.step)
        concluded = self._conclude(result)
        point = "recorded" if isinstance(result, Succeeded) else "refused"
        faults.reach(f"{self.operation}.{point}", key, self.step)
        match concluded.decision.answer:
            case Recorded(ended):
                return self._recorded(concluded, ended=ended)
            case RetryLater(wait_s):
                raise self._retry_signal(concluded, wait_s)
            case Fenced():
                return self._drop("the saga went on without it")
            case other:
                raise AssertionError(f"The end of an attempt was answered with {other!r}.")

    def _run_function(self, claimed: Transition, attempt: int) -> Result:
        try:
            context = self._context(claimed, attempt)
            value = self.call(self.call.input.load(claimed.input), context)
            return Succeeded(self.call.output.dump(value))
        except StepFailed as error:
            self.error = error
            return Refused(_describe(error))
        except Exception as error:  # noqa: BLE001 - whatever the participant raises is its outcome
            self.error = error
            return Broke(_describe(error))

    def _context(self, claimed: Transition, attempt: int) -> Context:
        saga = claimed.before
        undoing: dict[str, Any] = {}
        if self.operation is Operation.COMPENSATION:
            undoing = self._what_to_undo(claimed)
        return Context(
            saga_id=saga.id,
            key=saga.key,
            step=self.step,
            operation=self.operation,
            attempt=attempt,
            result_type=self.call.output,
            outputs=claimed.outputs,
            confirm=self._confirm,
            **undoing,
        )

    def _what_to_undo(self, claimed: Transition) -> dict[str, Any]:
        text = claimed.outputs.get(self.step)
        failure = claimed.before.failure
        return {
            "output": None if text is None else self.definition.action.output.load(text),
            "outcome": Outcome.UNKNOWN if text is None else Outcome.SUCCESS,
            "failure": failure
            and Failure(failure["step"], failure["type"], failure["message"], failure.get("code")),
        }

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
        if not ended and not self.task.request.chain:
            self._send_next_piece(concluded)
        return concluded.status if ended else StepStatus.SUCCESS

    def _send_next_piece(self, concluded: Transition) -> None:
        """Go on where this chain was one piece of a long plan."""
        after = concluded.after
        if dispatch := remaining(after, self.operation):
            self.runtime.messages.publish(after, dispatch, concluded.epoch)

    def _retry_signal(self, concluded: Transition, wait_s: float) -> CeleryRetry:
        if dispatch := concluded.decision.dispatch:
            self.runtime.messages.publish(concluded.before, dispatch, concluded.epoch)
        return CeleryRetry(f"attempt failed, next in {wait_s:.1f} s", self.error, wait_s)

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


def _describe(error: Exception) -> dict[str, Any]:
    return {
        "type": type(error).__name__,
        "message": describe_error(error),
        "code": error.code if isinstance(error, StepFailed) else None,
        "traceback": "".join(traceback.format_tb(error.__traceback__))[-_TRACEBACK_LIMIT:],
    }
