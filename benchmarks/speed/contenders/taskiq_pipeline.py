"""A Taskiq pipeline over Redis streams, which acknowledge, without any record or results."""

import asyncio

from taskiq_pipelines import Pipeline, PipelineMiddleware
from taskiq_redis import RedisStreamBroker

from benchmarks.speed.place import FIRST, LAST, STEPS, Order, here
from benchmarks.speed.work import Refused, tell_end, work

__all__ = ["broker", "prepare", "start"]

broker = RedisStreamBroker(here().redis_url)
broker.add_middlewares(PipelineMiddleware())

#: The result of the previous step is not passed on.
_NOTHING = -1

_loop = asyncio.new_event_loop()


def prepare() -> None:
    """Connect, and create the stream."""
    _loop.run_until_complete(broker.startup())


def start(order: Order) -> None:
    """Enqueue the pipeline."""
    _loop.run_until_complete(_run(order, _done, STEPS))


async def _run(order: Order, task: object, indexes: range) -> None:
    pipeline = Pipeline(broker, task)
    for index in indexes[1:]:
        pipeline.call_next(task, _NOTHING, order=order, index=index)
    await pipeline.kiq(order=order, index=indexes[0])


async def _do(order: Order, index: int) -> None:
    try:
        work(index)
    except Refused:
        await _run(order, _undone, STEPS[:LAST][::-1])
        return
    if index == LAST:
        tell_end(order["number"])


async def _undo(order: Order, index: int) -> None:
    if index == FIRST:
        tell_end(order["number"])


_done = broker.task(task_name="do")(_do)
_undone = broker.task(task_name="undo")(_undo)
