"""A fork waits for the work under way, and keeps nobody else from working meanwhile."""

import threading
from functools import partial

from sagas import forking
from sagas.forking import ForkGuard
from tests.support.waiting import HANG_S, wait_until


class WatchedGuard(ForkGuard):
    """A guard that tells when a fork waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.awaited = threading.Event()

    def acquire(self, *, wait: bool) -> bool:
        """Acquire the guard, and tell first if it may take long."""
        if wait:
            self.awaited.set()
        return super().acquire(wait=wait)


def test_a_fork_that_waits_for_one_lets_the_others_work() -> None:
    guards = [WatchedGuard() for _ in range(4)]
    for busy in guards:  # whichever of them the fork comes to first
        others = [guard for guard in guards if guard is not busy]
        forked = threading.Event()
        thread = threading.Thread(target=fork, args=(forked,))
        with busy.guarded():
            thread.start()
            assert busy.awaited.wait(HANG_S)
            for other in others:
                wait_until(partial(is_free, other), what="it can work")
            assert not forked.is_set()
        thread.join(timeout=HANG_S)
        assert forked.is_set()


def fork(forked: threading.Event) -> None:
    """Run only the hooks: threads may not fork everywhere."""
    forking._before()  # noqa: SLF001
    forking._after()  # noqa: SLF001
    forked.set()


def is_free(guard: ForkGuard) -> bool:
    """Tell whether work can begin at this moment."""
    if taken := guard.acquire(wait=False):
        guard.release()
    return taken
