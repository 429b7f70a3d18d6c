"""One message, one attempt: claim the step, run it, record how it ended."""

import logging
import random
import uuid
from collections.abc import Sequence
from typing import Any

from celery import Task
from celery.exceptions import Retry as CeleryRetry

from sagas import faults
from sagas.decision import (
    Decision,
    Dispatch,
    Done,
    Dropped,
    Errored,
    Fenced,
    Granted,
    Holder,
    Postponed,
    Recorded,
    Refused,
    Result,
    RetryLater,
    SagaState,
    Succeeded,
    claim,
    conclude,
    remaining,
    waiting,
)
from sagas.definition import StepDefinition
from sagas.errors import AttemptAborted, AttemptSuperseded, SagaNotFound
from sagas.record.store import Committed
from sagas.runtime.app import Runtime, runtime_of
from sagas.runtime.log_fields import log_fields
from sagas.runtime.messages import PLAN, Chain, Link, cut_short
from sagas.states import Operation, StepStatus
from sagas.worker.attempt_log import log_failure, retry_text
from sagas.worker.end_of_process import ends_process
from sagas.worker.error_report import tell_errbacks
from sagas.worker.execution import Execution

__all__ = ["run_attempt"]

logger = logging.getLogger(__name__)

#: The longest id of a Celery task, in characters, that the record's column can hold.
TASK_ID_LIMIT = 64


def run_attempt(
    task: Task,
    definition: StepDefinition[Any, Any],
    operation: Operation,
    args: Sequence[Any],
) -> str:
    """Run one attempt of an action or a compensation, if the record grants it.

    Returns a word for Celery's log. Raises what the function raised, so that Celery marks the
    attempt as failed and sends the errback, or Celery's Retry if another attempt follows. Where the
    process was told to end, raises what told it, after the outcome is recorded.
    """
    if (link := Link.read(args)) is None or not _is_task_id(task.request.id):
        task.request.chain = None
        logger.warning("Ignored a malformed message for %s.", task.name)
        return "dropped: malformed"
    try:
        runtime = runtime_of(task.app).as_worker(task.request.hostname)
        return _Attempt(runtime, task, definition, operation, link).run()
    except BaseException as error:
        if isinstance(error, Exception) or ends_process(error):
            raise
        # A greenlet that is killed while it writes. Celery's pools take it for no failure, and
        # would report its task as running for ever; the record takes the attempt for lost.
        raise AttemptAborted(f"{type(error).__name__} interrupted the engine's work.") from error


def _is_task_id(value: object) -> bool:
    """Tell whether the record can keep the id, by which it knows whether the attempt is alive."""
    return isinstance(value, str) and 1 <= len(value) <= TASK_ID_LIMIT and value.isprintable()


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
        self.operation = operation
        self.saga_id = link.saga_id
        self.step = link.step
        self.epoch = link.epoch
        self.token = uuid.uuid4().hex
        self.actor = runtime.actor("worker")
        self.execution = Execution(runtime, definition, operation, link.step, self._confirm)

    def run(self) -> str:
        try:
            claimed = self._claim()
        except Exception as error:
            tell_errbacks(self.task, error)
            raise
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

    def _claim(self) -> Committed | None:
        holder: Holder = {
            "worker": self.runtime.worker_id,
            "hostname": self.runtime.hostname,
            "task_id": self.task.request.id,
        }

        def decide(saga: SagaState) -> Decision:
            if self._is_cut_short(saga):
                return Decision(Dropped("its time limit is not the one of the plan"))
            return claim(
                saga,
                self.step,
                self.operation,
                epoch=self.epoch,
                token=self.token,
                holder=holder,
                timing=self.runtime.timing,
                task=self.task.name,
            )

        return self.runtime.store.transition(
            self.saga_id, decide, actor=self.actor, predicted=self._predicted()
        )

    def _predicted(self) -> SagaState | None:
        """Return what the saga is if nothing out of the ordinary has happened to it."""
        plan = self.runtime.store.plans.known(self.task.request.get(PLAN))
        if plan is None or self.operation is Operation.COMPENSATION:
            return None
        return waiting(self.saga_id, plan, self.step, self.epoch)

    def _is_cut_short(self, saga: SagaState) -> bool:
        planned = next((step for step in saga.plan if step.name == self.step), None)
        call = planned.call(self.operation) if planned else None
        return call is not None and cut_short(self.task, call)

    def _drop(self, reason: str) -> str:
        self.task.request.chain = None  # the rest of the chain is void too
        logger.info(
            "Saga %s, %s of %s: dropped, %s.",
            self.saga_id,
            self.operation,
            self.step,
            reason,
            extra=log_fields(
                self.saga_id, step=self.step, operation=str(self.operation), epoch=self.epoch
            ),
        )
        return f"dropped: {reason}"

    def _granted(self, claimed: Committed, granted: Granted) -> str:
        self.runtime.messages.note_clock(claimed.before.now)
        key = claimed.before.key
        faults.reach(f"{self.operation}.claimed", key, self.step)
        result = self.execution.run(claimed, granted)
        faults.reach(f"{self.operation}.returned", key, self.step)
        concluded = self._conclude(claimed, result)
        faults.reach(f"{self.operation}.{_end(result, concluded)}", key, self.step)
        if dispatch := concluded.decision.dispatch:
            self._publish(concluded, dispatch)
        if isinstance(result, Refused | Errored | Postponed) and concluded.decision.steps:
            log_failure(concluded, result, self.execution.error)
        if self.execution.end_of_process is not None:
            raise self.execution.end_of_process
        match concluded.decision.answer:
            case Recorded(ended):
                return self._recorded(concluded, ended=ended)
            case RetryLater(wait_s) if isinstance(result, Errored | Postponed):
                text = retry_text(concluded, result, wait_s)
                raise CeleryRetry(text, self.execution.error, wait_s)
            case Fenced():
                return self._drop("the saga has gone on without it")
            case other:
                raise AssertionError(f"The end of an attempt was answered with {other!r}.")

    def _conclude(self, claimed: Committed, result: Result) -> Committed:
        chance = random.random()

        def decide(saga: SagaState) -> Decision:
            return conclude(
                saga,
                self.step,
                self.operation,
                result,
                epoch=self.epoch,
                token=self.token,
                timing=self.runtime.timing,
                chance=chance,
            )

        concluded = self.runtime.store.transition(
            self.saga_id, decide, actor=self.actor, predicted=claimed.after
        )
        if concluded is None:
            raise SagaNotFound(
                f"Saga {self.saga_id} disappeared from the record during {self.step}."
            )
        return concluded

    def _recorded(self, concluded: Committed, *, ended: bool) -> str:
        if self.execution.error is not None:
            raise self.execution.error
        if concluded.decision.dispatch:  # the saga turned back: the rest of the chain is void
            self.task.request.chain = None
        elif not ended and not self.task.request.chain:
            self._send_next_segment(concluded)
        return concluded.status if ended else StepStatus.SUCCESS

    def _send_next_segment(self, concluded: Committed) -> None:
        """Go on where this chain was one segment of a long plan."""
        if dispatch := remaining(concluded.after, self.operation):
            self._publish(concluded, dispatch)

    def _publish(self, concluded: Committed, dispatch: Dispatch) -> None:
        self.runtime.messages.publish(Chain(concluded.after, dispatch, concluded.epoch))
        faults.reach(f"{self.operation}.published", concluded.before.key, self.step)

    def _confirm(self) -> None:
        held = self.runtime.store.holds(self.saga_id, self.step, self.token, self.epoch)
        if not held:
            raise AttemptSuperseded(
                f"Saga {self.saga_id} went on without this attempt of {self.step}. "
                "Stop here, without any further effect."
            )


def _end(result: Result, concluded: Committed) -> str:
    """Return the fault point that follows the commit of this result."""
    if isinstance(concluded.decision.answer, RetryLater):
        return "retried"
    return "recorded" if isinstance(result, Succeeded) else "refused"
