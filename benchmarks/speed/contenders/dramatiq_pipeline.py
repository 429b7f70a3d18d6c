"""A Dramatiq pipeline without any record."""

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.speed.place import FIRST, LAST, STEPS, Order, here
from benchmarks.speed.work import Refused, tell_end, work

__all__ = ["start"]

dramatiq.set_broker(RedisBroker(url=here().redis_url))


def start(order: Order) -> None:
    """Enqueue the pipeline."""
    messages = [_done.message_with_options(args=(order, i), pipe_ignore=True) for i in STEPS]
    dramatiq.pipeline(messages).run()


def _do(order: Order, index: int) -> None:
    try:
        work(index)
    except Refused:
        undos = [
            _undone.message_with_options(args=(order, i), pipe_ignore=True)
            for i in reversed(STEPS[:LAST])
        ]
        dramatiq.pipeline(undos).run()
        return
    if index == LAST:
        tell_end(order["number"])


def _undo(order: Order, index: int) -> None:
    if index == FIRST:
        tell_end(order["number"])


_done = dramatiq.actor(_do, actor_name="do")
_undone = dramatiq.actor(_undo, actor_name="undo")
