"""Messages: chains of steps that carry only ids, and their way to the broker."""

import logging
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any
from uuid import UUID

from celery import Celery, Signature, Task, chain, signals
from celery.exceptions import QueueNotFound
from kombu.entity import Queue

from sagas.decision import Dispatch, SagaState, Timing, awaited_step, call_of
from sagas.definition import is_name
from sagas.errors import ConfigurationError
from sagas.plan import PlannedCall
from sagas.runtime.eager import EagerRuns
from sagas.runtime.log_fields import of_saga
from sagas.runtime.queues import (
    Lane,
    has_route,
    is_routed_by_function,
    lanes,
    lengths,
    routed_queue,
)
from sagas.runtime.settings import Settings
from sagas.states import Operation

__all__ = [
    "CAUSE",
    "PLAN",
    "QUEUE",
    "SENT_AT",
    "TURN_BACK",
    "Chain",
    "Link",
    "Messages",
    "cut_short",
]

logger = logging.getLogger(__name__)

#: The name of the engine's own task, the errback of every step.
TURN_BACK = "sagas.turn_back"

#: The header with the time at which a message was published, by the database's clock.
SENT_AT = "saga_sent_at"

#: The header with the message's queue. The routing key is not enough: queues may share one.
QUEUE = "saga_queue"

#: The header with the hash of the saga's plan, from which a worker predicts the saga's state.
PLAN = "saga_plan"

#: The argument of the errback with the error of a worker that failed before it claimed the step.
CAUSE = "cause"

#: Each message of a chain carries the rest of the chain, so a long plan is sent in segments.
SEGMENT = 16

#: The largest value that the column ``epoch`` can hold.
LARGEST_EPOCH = 2**31 - 1

#: How long a step may clean up after its soft limit before its process is killed.
HARD_LIMIT_GRACE_S = Timing().grace_s

#: After a failed publish none is tried for this long: the sweep sends what is missing.
BROKER_REST_S = 1.0

#: How long a broker that confirms messages (``confirm_publish``) may take to do it.
CONFIRM_S = 3.0

#: How often a router function must choose the same queue for one message to be believed.
ROUTES_ASKED = 4

_ONCE_MORE = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}


@dataclass(frozen=True, slots=True)
class Chain:
    """A dispatch to be published, for a saga at an epoch."""

    saga: SagaState
    dispatch: Dispatch
    epoch: int


@dataclass(frozen=True, slots=True)
class Link:
    """The content of one message: run this step of this saga, at this epoch."""

    saga_id: UUID
    step: str
    epoch: int

    @classmethod
    def read(cls, args: Any) -> "Link | None":
        """Read a message's arguments; return None where the engine cannot have sent them."""
        match args:
            case [str(saga_id), str(step), int(epoch)]:
                # SQL values must fit their columns, or the sweep would fail on them; logged text
                # must fit its line.
                if not is_name(step) or not 1 <= epoch <= LARGEST_EPOCH:
                    return None
                try:
                    return cls(UUID(saga_id), step, epoch)
                except ValueError:
                    return None
            case _:
                return None

    @property
    def args(self) -> tuple[str, str, int]:
        """The message's arguments."""
        return str(self.saga_id), self.step, self.epoch


class Messages:
    """Builds and publishes the messages of one app."""

    def __init__(self, app: Celery, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._rest_until = 0.0
        self._clock_offset_s = 0.0
        self._eager = EagerRuns()
        # Weakly, for as long as the app is used. By an id of its own: for Celery 5.5, a method of
        # two objects is one receiver, and the messages of the second app had no stamp.
        signals.before_task_publish.connect(self._stamp, dispatch_uid=f"sagas.{id(self)}")

    def publish(self, *chains: Chain) -> bool:
        """Publish chains, in one batch where the transport can; return False if that failed.

        It neither raises nor waits if the broker is away: the sweep publishes what the record has
        and the broker has not. In Celery's eager mode, which has neither, it runs the chains.

        Raises:
            ConfigurationError: in eager mode, where this process does not have the next task.
        """
        if self._is_eager:
            for chain_ in chains:
                self._eager.run(chain_.saga.id, partial(self._run_here, chain_))
            return True
        if time.monotonic() < self._rest_until:
            return False
        try:
            with self._app.producer_or_acquire() as producer, _in_one_go(producer, chains):
                for chain_ in chains:
                    # The stamp is the time of the record, not of the publish: a large batch takes a
                    # while, and its last messages must not look lost once its first are received.
                    self.note_clock(chain_.saga.now)
                    self._send(producer, chain_)
        except Exception as error:  # noqa: BLE001
            # kombu and the transports raise all kinds of errors. None may reach the caller, whose
            # sagas are committed.
            what = "it has no route for the next message"
            if not isinstance(error, QueueNotFound | ConfigurationError):
                what = "the broker did not accept the next message"
                self._rest_until = time.monotonic() + BROKER_REST_S
            first, *others = (chain_.saga for chain_ in chains)
            logger.warning(
                "Saga %s (%s)%s: %s (%s: %s). The sweep will publish it.",
                first.id,
                first.key,
                f" and {len(others)} others" if others else "",
                what,
                type(error).__name__,
                error,
                extra=of_saga(first),
            )
            return False
        return True

    def _send(self, producer: Any, chain_: Chain) -> None:
        # Celery's apply_async of a chain ignores the producer that it is given.
        first, *others = self.links(chain_)
        rest: list[Signature] = []
        if others:
            rest, _ = chain(first, *others, app=self._app).prepare_steps(
                (), {}, [first, *others], app=self._app, clone=False
            )
            first = rest.pop()
        # One retry: AMQP notices only at a publish that an idle connection was closed. After that
        # the sweep is the retry. The transport's options limit the time to connect.
        first.apply_async(
            chain=rest,
            producer=producer,
            retry=True,
            retry_policy=_ONCE_MORE,
            confirm_timeout=CONFIRM_S,
        )

    @property
    def _is_eager(self) -> bool:
        return bool(self._app.conf.task_always_eager)

    def _run_here(self, chain_: Chain) -> None:
        # Only the first link: the engine publishes the next one when this one has succeeded.
        link, saga = self.links(chain_)[0], chain_.saga
        if link.task not in self._app.tasks:
            raise ConfigurationError(
                f"Saga {saga.id} ({saga.key}) needs the task {link.task!r}, which is not "
                "registered in this process, and task_always_eager sends no messages. Import its "
                "module in the test."
            )
        link.apply_async()

    def links(self, chain_: Chain) -> list[Signature]:
        """Build the links of a chain, or of its first segment."""
        dispatch = chain_.dispatch
        links = [
            self._link(chain_.saga, dispatch.operation, step, chain_.epoch)
            for step in dispatch.steps[:SEGMENT]
        ]
        if dispatch.countdown_s:
            links[0].set(countdown=dispatch.countdown_s)
        return links

    def _link(self, saga: SagaState, operation: Operation, step: str, epoch: int) -> Signature:
        call = call_of(saga, step, operation)
        args = Link(saga.id, step, epoch).args
        lane = next(self._lanes(call, args))
        queue = lane.queue.name
        link: Signature = self._app.signature(call.task, args=args, immutable=True, app=self._app)
        link.set(
            # Flower shows and searches these.
            argsrepr=f"({saga.key!r}, {str(saga.id)!r})",
            kwargsrepr=repr({"saga": saga.name, "step": step, "epoch": epoch}),
            headers={SENT_AT: 0.0, QUEUE: queue, PLAN: saga.plan.hash},
            link_error=[self._errback(saga, epoch, queue)],
            # An application that does not have the task would subscribe to its result.
            ignore_result=True,
            **_limits(call),
        )
        if self._is_eager:
            link.set(throw=False)  # as in a worker, whatever task_eager_propagates says
        if call.queue or is_routed_by_function(self._app):
            link.set(queue=queue)  # a function that is asked again may choose another one
        if lane.priority is not None:
            link.set(priority=lane.priority)
        return link

    def _errback(self, saga: SagaState, epoch: int, queue: str) -> Signature:
        args = (str(saga.id), epoch)
        errback: Signature = self._app.signature(TURN_BACK, args=args, app=self._app)
        errback.set(
            argsrepr=f"({saga.key!r}, {str(saga.id)!r})",
            kwargsrepr=f"{{'epoch': {epoch}}}",
            ignore_result=True,
        )
        if self._is_eager:
            errback.set(throw=False)
        if self._settings.saga_queue:
            errback.set(queue=self._settings.saga_queue)
        elif not has_route(self._app, TURN_BACK, args):
            # Somebody consumes the step's queue; perhaps nobody does the default queue.
            errback.set(queue=queue)
        return errback

    def queue_of(self, call: PlannedCall) -> Queue:
        """Return the queue to which Celery routes a call; raises as ``routed_queue``."""
        return routed_queue(self._app, call.task, call.queue)

    def lane_of(self, saga: SagaState) -> Lane | None:
        """Return the lane in which the saga's message waits; raises as ``routed_queue``.

        None where the saga waits for no message, or where a router chooses its queue at random.
        """
        if (awaited := awaited_step(saga)) is None:
            return None
        step, operation = awaited
        routed = self._lanes(call_of(saga, step, operation), Link(saga.id, step, saga.epoch).args)
        asked = ROUTES_ASKED if is_routed_by_function(self._app) else 1
        first, *others = islice(routed, asked)
        return first if all(lane.name == first.name for lane in others) else None

    def _lanes(self, call: PlannedCall, args: Sequence[Any]) -> Iterator[Lane]:
        return lanes(self._app, call.task, call.queue, call.priority, args)

    def backlog(self, queues: Sequence[Queue]) -> dict[str, int | None]:
        """Ask the broker for the length of each queue, by name; None where it cannot be known."""
        return lengths(self._app, queues)

    def note_clock(self, moment: datetime) -> None:
        """Remember the difference between this machine's clock and the database's."""
        self._clock_offset_s = moment.timestamp() - time.time()

    def _stamp(self, headers: dict[str, Any] | None = None, **_: Any) -> None:
        if headers is not None and SENT_AT in headers:
            headers[SENT_AT] = time.time() + self._clock_offset_s


def _in_one_go(producer: Any, chains: Sequence[Chain]) -> AbstractContextManager[object]:
    # kombu has batches from 5.7 on; an older one sends each message by itself.
    batch: Any = getattr(producer, "batch", nullcontext)
    together: AbstractContextManager[object] = batch() if len(chains) > 1 else nullcontext()
    return together


def _limits(call: PlannedCall) -> dict[str, float | None]:
    soft_s = call.timeout_s
    # None is sent too: otherwise Celery adds the sender's own limits (task_time_limit), and to a
    # message without limits the worker applies its own, which may differ again.
    return {
        "soft_time_limit": soft_s,
        "time_limit": None if soft_s is None else soft_s + HARD_LIMIT_GRACE_S,
    }


def cut_short(task: Task, call: PlannedCall) -> bool:
    """Tell whether a task's message has shorter time limits than the plan.

    Forged limits could end one attempt after the other until none is left.
    """
    shortest = math.inf if call.timeout_s is None else call.timeout_s
    given = task.request.timelimit or ()
    if not isinstance(given, list | tuple):
        return True
    return any(limit is not None and not _is_at_least(shortest, limit) for limit in given)


def _is_at_least(seconds: float, limit: object) -> bool:
    return isinstance(limit, int | float) and limit >= seconds
