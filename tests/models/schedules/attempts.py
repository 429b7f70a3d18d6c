"""One message and its attempt, with the boundaries of the worker's own code."""

from sagas.decision import (
    AttemptError,
    Decision,
    Done,
    Errored,
    Fenced,
    Granted,
    Holder,
    Postponed,
    Probed,
    Recorded,
    Refused,
    Result,
    RetryLater,
    SagaState,
    Succeeded,
    Transition,
    claim,
    conclude,
    remaining,
    waiting,
)
from sagas.states import Operation
from tests.models.schedules.broker import Message
from tests.models.schedules.participant import ACTION, COMPENSATION, Kind
from tests.models.schedules.record import TIMING
from tests.models.schedules.world import Running, Worker, World

__all__ = ["attempt"]

ERROR: AttemptError = {"type": "E", "message": "…"}


def attempt(world: World, message: Message, worker: Worker) -> Running:
    """Claim the first step of a message, run it, record how it ended, and send what follows."""
    world.tokens += 1
    token = f"t{world.tokens}"
    worker.tasks.add(token)
    try:
        yield from _attempt(world, message, worker, token)
    finally:
        worker.tasks.discard(token)


def _attempt(world: World, message: Message, worker: Worker, token: str) -> Running:
    operation, steps, epoch, _ = message
    step = steps[0]
    holder: Holder = {"worker": worker.id, "hostname": "host", "task_id": token}

    def decide(saga: SagaState) -> Decision:
        return claim(saga, step, operation, epoch=epoch, token=token, holder=holder, timing=TIMING)

    saga = world.record.saga
    predicted = waiting(saga.id, saga.plan, step, epoch) if operation is ACTION else None
    claimed = yield from world.commit(decide, "worker", predicted)
    if isinstance(claimed.decision.answer, Done):
        _send_next_link(world, message)
    if not isinstance(claimed.decision.answer, Granted):
        return
    yield "granted"
    result = _run(world, step, operation, claimed.decision.answer)
    yield "back from its function"
    yield from _conclude(world, message, token, result, claimed.after)


def _conclude(
    world: World, message: Message, token: str, result: Result, predicted: SagaState
) -> Running:
    operation, steps, epoch, _ = message

    def decide(saga: SagaState) -> Decision:
        return conclude(
            saga, steps[0], operation, result, epoch=epoch, token=token, timing=TIMING, chance=0
        )

    concluded = yield from world.commit(decide, "worker", predicted)
    if isinstance(concluded.decision.answer, Fenced):
        world.counts["fenced"] += 1
    if isinstance(result, Postponed) and isinstance(concluded.decision.answer, RetryLater):
        world.counts[f"postponed: {operation}"] += 1
    yield "recorded"
    _publish(world, message, result, concluded)


def _publish(world: World, message: Message, result: Result, concluded: Transition) -> None:
    """Send what follows an attempt, as the worker and Celery do."""
    dispatch, answer = concluded.decision.dispatch, concluded.decision.answer
    if dispatch:
        world.publish(dispatch, concluded.after.epoch)
    if not isinstance(answer, Recorded):
        return
    if not isinstance(result, Succeeded):
        world.broker.send(message._replace(steps=()))  # the errback
    elif dispatch:
        return  # the saga turned back: the rest of this chain is void
    elif len(message.steps) > 1:
        _send_next_link(world, message)
    elif not answer.ended and (more := remaining(concluded.after, message.operation)):
        world.publish(more, concluded.after.epoch)


def _send_next_link(world: World, message: Message) -> None:
    if message.steps[1:]:
        world.broker.send(message._replace(steps=message.steps[1:], not_before=world.record.now))


def _run(world: World, step: str, operation: Operation, granted: Granted) -> Result:
    """Do the work at the participant, after the probe if there is a question to ask it."""
    probed = None
    if granted.ask:
        happened = world.participant.find(step)
        probed = Probed(happened, '"found"' if happened else None)
        if operation is COMPENSATION and not happened:
            return Succeeded(probed=probed)
        if operation is ACTION and happened:
            return Succeeded(probed.output, probed)
        if not granted.run:
            return Refused(ERROR, probed)
    return _outcome(world, step, operation, probed)


def _outcome(world: World, step: str, operation: Operation, probed: Probed | None) -> Result:
    mood = world.random.choice(world.moods[operation])
    participant = world.participant
    if mood != "fine":
        world.counts[f"fault: {mood}"] += 1
    if mood == "refuse":
        if not participant.knows(step, operation):
            return Refused(ERROR, probed)
        if participant.kind is Kind.CONTRARY:
            world.counts["fault: another answer"] += 1
            return Refused(ERROR, probed)
    if mood == "busy":
        return Postponed(ERROR, world.random.choice((0.5, 4.0, 8.0)), probed)
    if mood in ("error before", "late"):
        if mood == "late":
            world.spawn("late effect", _late(world, step, operation))
        return Errored(ERROR, probed=probed)
    done = participant.act(step, operation, world.record.now)
    if mood == "error after" or not done:
        return Errored(ERROR, probed=probed)
    return Succeeded('"done"', probed)


def _late(world: World, step: str, operation: Operation) -> Running:
    yield "on its way"
    world.participant.act(step, operation, world.record.now)
