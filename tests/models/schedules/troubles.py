"""What can happen next: processes go on, or something goes wrong."""

from collections.abc import Callable
from itertools import accumulate

from sagas.states import Operation, SagaStatus
from tests.models.schedules import duties
from tests.models.schedules.attempts import attempt
from tests.models.schedules.broker import Message
from tests.models.schedules.record import TIMING
from tests.models.schedules.world import Process, Worker, World

__all__ = ["calm_down", "take", "trouble"]

GOOD = (SagaStatus.COMPLETED, SagaStatus.COMPENSATED)


def trouble(world: World) -> None:
    """Let good and bad things happen; the seed also decides which kinds of faults occur."""
    random = world.random
    bad = tuple(fault for fault in FAULTS if random.random() < 0.4)
    moves = NORMAL + bad
    weights = tuple(accumulate(WEIGHTS[move] for move in moves))
    for move in random.choices(moves, cum_weights=weights, k=random.choice((20, 60, 120))):
        move(world)


def take(world: World, message: Message, worker: Worker) -> None:
    """Let a worker take a message."""
    if message.steps:
        running = attempt(world, message, worker)
        what = f"{message.operation} of {message.steps[0]} #{message.epoch}"
        world.spawn(what, running, worker, message)
    else:
        errback = duties.errback(world, message)
        world.spawn(f"errback #{message.epoch}", errback, worker, message)


def _go_on(world: World) -> None:
    free = [p for p in world.processes if p.worker is None or not p.worker.stopped]
    if free:
        world.go_on(world.random.choice(free))


def _deliver(world: World) -> None:
    queue, now = world.broker.queue, world.record.now
    ready = [message for message in queue if message.not_before <= now]
    worker = world.random.choice(world.workers)
    if ready and not worker.stopped:
        message = world.random.choice(ready)
        queue.remove(message)
        take(world, message, worker)


def _pass_time(world: World) -> None:
    world.pass_time(world.random.choice((0.5, 2.0, 2.0, 10.0, 70.0)))


def _sweep(world: World) -> None:
    worker = world.random.choice(world.workers)
    if not worker.stopped:
        world.spawn("sweep", duties.sweep(world, worker), worker)


def _take_back(world: World) -> None:
    worker = world.random.choice(world.workers)
    if not worker.stopped:
        world.spawn("take-back", duties.take_back(world, worker), worker)


def _extend(world: World) -> None:
    if world.broker.queue:
        world.record.extend(world.random.choice(world.broker.queue).epoch, TIMING.lease_s)


def _people(world: World) -> None:
    if world.saga.status is SagaStatus.FAILED:
        _help(world)


def _help(world: World) -> None:
    match world.random.randrange(8):
        case 0:
            completed = world.random.choice((None, True, False))
            world.spawn("operator resolves", duties.resolved(world, completed=completed))
        case 1 | 2 | 3:
            world.spawn("operator skips", duties.skipped(world))
        case _:
            world.spawn("operator retries", duties.retried(world))


def _redeliver(world: World) -> None:
    worker = world.random.choice(world.workers)
    if world.broker.sent and not worker.stopped:
        world.counts["fault: redelivered"] += 1
        take(world, world.random.choice(world.broker.sent), worker)


def _lose(world: World) -> None:
    queue = world.broker.queue
    if queue:
        world.counts["fault: message lost"] += 1
        queue.pop(world.random.randrange(len(queue)))


def _flush(world: World) -> None:
    if world.broker.queue:
        world.counts["fault: broker flushed"] += 1
        world.broker.queue.clear()


def _kill(world: World) -> None:
    if world.processes:
        process = world.random.choice(world.processes)
        _end(world, process)
        message = process.message
        if message is not None and message.steps and world.random.random() < 0.5:
            world.broker.send(message._replace(steps=()))  # Celery sends it for a lost child


def _end(world: World, process: Process) -> None:
    world.counts[f"fault: {process.what.split()[0]} killed {process.at}"] += 1
    world.tell(process.what, "is killed")
    process.running.close()
    world.processes.remove(process)


def _kill_worker(world: World) -> None:
    worker = world.random.choice(world.workers)
    world.counts["fault: worker killed"] += 1
    for process in [p for p in world.processes if p.worker is worker]:
        _end(world, process)
    world.new_worker_for(worker)


def _stop(world: World) -> None:
    worker = world.random.choice(world.workers)
    if any(process.worker is worker for process in world.processes):
        world.counts["fault: worker stopped"] += not worker.stopped
        worker.stopped = not worker.stopped


def _silence(world: World) -> None:
    worker = world.random.choice(world.workers)
    world.counts["fault: worker silent"] += not worker.silent
    worker.silent = not worker.silent


def _cancel(world: World) -> None:
    world.spawn("operator cancels", duties.cancelled(world))


Move = Callable[[World], None]
NORMAL: tuple[Move, ...] = (_go_on, _deliver, _pass_time, _sweep, _take_back, _people)
FAULTS: tuple[Move, ...] = (
    _extend,
    _redeliver,
    _lose,
    _flush,
    _kill,
    _kill_worker,
    _stop,
    _silence,
    _cancel,
)
WEIGHTS: dict[Move, int] = {_go_on: 30, _deliver: 15, _pass_time: 8, _sweep: 6}
WEIGHTS |= {_take_back: 2, _people: 5, _extend: 3, _redeliver: 5, _lose: 3, _flush: 1}
WEIGHTS |= {_kill: 5, _kill_worker: 1, _stop: 3, _silence: 2, _cancel: 1}


def calm_down(world: World) -> None:
    """Stop all faults, let every process end, and let people help a parked saga.

    Raises:
        AssertionError: the saga does not end.
    """
    world.reply_loss = world.false_evidence = 0.0
    world.moods = dict.fromkeys(Operation, ("fine",))
    for worker in world.workers:
        worker.stopped = worker.silent = False
    for _ in range(300):
        _finish(world)
        if world.saga.status in GOOD:
            return
        if world.saga.status is SagaStatus.FAILED:
            _help(world)
        due_at = world.record.due_at or world.record.now
        world.pass_time(max(5.0, (due_at - world.record.now).total_seconds()))
        for worker in world.workers:
            world.spawn("take-back", duties.take_back(world, worker), worker)
            world.spawn("sweep", duties.sweep(world, worker), worker)
    raise AssertionError("L1: it does not end")


def _finish(world: World) -> None:
    while world.processes or world.broker.queue:
        while world.processes:
            world.go_on(world.processes[0])
        if world.broker.queue:
            take(world, world.broker.queue.pop(0), world.workers[0])
