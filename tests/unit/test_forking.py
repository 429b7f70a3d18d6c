"""A fork waits for the work under way, and keeps nobody else from working meanwhile."""

import threading
from functools import partial

from sagas import forking
from sagas.forking import ForkGuard
from tests.support.waiting import HANG_S, wait_until


def test_a_fork_that_waits_for_one_lets_the_others_work() -> None:
    others = [ForkGuard() for _ in range(8)]
    busy = ForkGuard()
    forked = threading.Event()

    def fork() -> None:  # only the hooks: threads may not fork everywhere
        forking._before()  # noqa: SLF001
        forking._after()  # noqa: SLF001
        forked.set()

    with busy.guarded():
        thread = threading.Thread(target=fork)
        thread.start()
        for other in others * 50:
            wait_until(partial(is_free, other), what="it can work")
        assert not forked.is_set()
    thread.join(timeout=HANG_S)
    assert forked.is_set()


def is_free(guard: ForkGuard) -> bool:
    """Tell whether work can begin at this moment."""
    if taken := guard.acquire(wait=False):
        guard.release()
    return taken
