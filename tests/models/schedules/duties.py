"""What workers and people do besides running steps: sweeps, errbacks, operator commands."""

from sagas.decision import (
    Declined,
    Evidence,
    Resolved,
    SagaState,
    StepState,
    awaited_call,
    cancel,
    resent_at_once,
    resolve,
    retry,
    skip,
)
from sagas.states import Operation, SagaStatus
from tests.models.schedules.broker import Message
from tests.models.schedules.participant import ACTION, COMPENSATION
from tests.models.schedules.record import TIMING
from tests.models.schedules.world import RESERVATION_S, Decide, Running, Worker, World

__all__ = ["cancelled", "errback", "resolved", "retried", "skipped", "sweep", "take_back"]


def sweep(world: World, worker: Worker) -> Running:
    """Check the saga if it is due, as every worker does."""
    if not world.record.reserve_due(RESERVATION_S):
        return
    world.counts["sweeps"] += 1
    known = world.record.peek()
    lost = _lost(world, known)
    fresh = {
        other.id
        for other in world.workers
        if (world.record.now - other.seen_at).total_seconds() <= TIMING.lease_s
    }
    wrong = _wrong(world)

    def still_lost(saga: SagaState) -> bool:
        return lost and (saga.epoch, saga.sent_at) == (known.epoch, known.sent_at)

    def alive(step: StepState) -> bool:
        if step.worker == worker.id:
            return step.task_id in worker.tasks
        return (step.worker in fresh) is not wrong

    yield "has asked for evidence"
    yield from world.advance(alive, still_lost, "sweep", Evidence(silent=True))


def _lost(world: World, known: SagaState) -> bool:
    """Judge whether the awaited message is lost; the judgement may be wrong either way."""
    if awaited_call(known) is None or known.sent_at is None:
        return False
    return (not world.broker.holds(known.epoch)) is not _wrong(world)


def _wrong(world: World) -> bool:
    wrong = bool(world.false_evidence) and world.random.random() < world.false_evidence
    world.counts["fault: false evidence"] += wrong
    return wrong


def take_back(world: World, worker: Worker) -> Running:
    """Take over the steps that this worker holds in the record but does not run."""
    steps = world.saga.steps.values()
    held = {str(step.task_id) for step in steps if step.held and step.worker == worker.id}
    yield "has read what it holds"
    for task in sorted(held - worker.tasks):
        yield from world.advance(
            lambda step, task=task: step.task_id != task,  # type: ignore[misc]
            lambda _: False,
            "sweep",
        )


def errback(world: World, message: Message) -> Running:
    """Do the turn-back task, which knows only that the chain of an epoch has ended."""
    if world.record.peek().epoch != message.epoch:
        return
    yield "has found its epoch current"

    def lost(saga: SagaState) -> bool:
        return saga.epoch == message.epoch and resent_at_once(saga)

    yield from world.advance(lambda _: True, lost, "turn-back")


def cancelled(world: World) -> Running:
    """Let a person cancel the saga."""
    return _act(world, lambda saga: cancel(saga, reason="…", timing=TIMING))


def retried(world: World) -> Running:
    """Let a person retry a parked saga."""
    return _act(world, lambda saga: retry(saga, timing=TIMING))


def resolved(world: World, *, completed: bool | None) -> Running:
    """Let a person resolve a parked saga."""
    parked = world.saga.parked
    if parked is None:
        return
    for planned in world.saga.plan:
        world.participant.settle(planned.name)  # the person takes responsibility for its effects
    word: Resolved = {"by": "a person", "note": "…", "at": "2026-03-01"}
    yield from _act(world, lambda saga: resolve(saga, completed=completed, resolved=word))


def skipped(world: World) -> Running:
    """Let a person do the work of a parked step, and then skip it."""
    parked = world.saga.parked
    if parked is None:
        return
    step = world.random.choice(parked["steps"])
    _see_to(world, step, forward=Operation(parked["operation"]) is ACTION)
    yield from _act(world, lambda saga: skip(saga, step, timing=TIMING))


def _see_to(world: World, step: str, *, forward: bool) -> None:
    participant = world.participant
    done, undone = (participant.applied(step, what) for what in (ACTION, COMPENSATION))
    if forward and not done:
        participant.apply(step, ACTION)
    elif not forward and done and not undone:
        participant.apply(step, COMPENSATION)
    participant.settle(step)


def _act(world: World, decide: Decide) -> Running:
    world.people += 1
    acted = yield from world.commit(decide, "operator")
    answer = acted.decision.answer
    what = "declined" if isinstance(answer, Declined) else acted.decision.note or "nothing to do"
    world.counts[f"person: {what}"] += 1
    yield "committed"
    if dispatch := acted.decision.dispatch:
        world.publish(dispatch, acted.after.epoch)
    if acted.after.status is SagaStatus.FAILED:
        world.tell("it is still parked")
