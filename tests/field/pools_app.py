"""A small application whose worker runs in any of Celery's pools; the environment configures it."""

import asyncio
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from celery import Celery
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded
from celery.exceptions import Retry as CeleryRetry
from pydantic import BaseModel

import sagas
from sagas import Context, Retry, RetryAfter, Saga, StepFailed, step
from tests.support.waiting import wait_until

__all__ = ["WAYS", "Job", "Mute", "app", "computes", "end", "ends", "overruns", "waits"]

DIRECTORY = Path(os.environ.get("POOLS_DIRECTORY", "."))

app = Celery("pools", broker=os.environ.get("POOLS_BROKER_URL"))
app.conf.update(
    saga_database_url=os.environ.get("POOLS_DATABASE_URL"),
    saga_lease_s=float(os.environ.get("POOLS_LEASE_S", "1.0")),
    saga_sweep_interval_s=0.2,
    broker_connection_retry_on_startup=True,
    result_backend=os.environ.get("POOLS_RESULT_BACKEND"),
)
sagas.setup(app)


class Job(BaseModel):
    """What a step does."""

    key: str = ""
    how: str = ""
    takes_s: float = 0.0


class Mute(Exception):
    """An error that cannot be formatted."""

    def __str__(self) -> str:
        raise LookupError("no text")

    __repr__ = __str__


class MuteExit(SystemExit):
    """The same, but not a subclass of Exception."""

    def __str__(self) -> str:
        raise SystemExit(3)


def _leak_cancellation() -> None:
    async def cancelled() -> None:
        raise asyncio.CancelledError

    asyncio.run(cancelled())


#: How a step may end, each with the error type that the record must show.
WAYS: dict[str, tuple[str, Callable[[], object]]] = {
    "exit": ("SystemExit", lambda: sys.exit(3)),
    "cancelled": ("CancelledError", _leak_cancellation),
    "closed": ("GeneratorExit", lambda: _raise(GeneratorExit())),
    "interrupted": ("KeyboardInterrupt", lambda: _raise(KeyboardInterrupt())),
    "group": ("BaseExceptionGroup", lambda: _raise(BaseExceptionGroup("g", [SystemExit(3)]))),
    "memory": ("MemoryError", lambda: _raise(MemoryError())),
    "reject": ("Reject", lambda: _raise(Reject("no", requeue=True))),
    "ignore": ("Ignore", lambda: _raise(Ignore())),
    "retry": ("Retry", lambda: _raise(CeleryRetry("later", when=1))),
    "mute": ("Mute", lambda: _raise(Mute())),
    "mute-exit": ("MuteExit", lambda: _raise(MuteExit())),
}


def _raise(error: BaseException) -> None:
    raise error


def note(what: str) -> None:
    """Record an effect in one write."""
    with (DIRECTORY / "effects.txt").open("a") as effects:
        effects.write(what + "\n")


def may_go() -> bool:
    """Tell whether the test has released the steps that wait for it."""
    return (DIRECTORY / "go").exists()


@step(name="pools.end", retry=Retry(max_attempts=2, wait_initial=0.1))
def end(job: Job, ctx: Context) -> None:
    """End as the job says, after an effect."""
    note(f"{job.key} began")
    time.sleep(job.takes_s)
    if job.how == "hangs at first":
        time.sleep(600 if ctx.attempt == 1 else 0)
        return
    if job.how == "hangs until it may go":
        wait_until(may_go)
        return
    if job.how == "kills its process":
        os._exit(9)
    if job.how == "refused":
        raise StepFailed("declined")
    if job.how:
        WAYS[job.how][1]()


@end.compensation()
def undo_end(job: Job) -> None:
    """Record that the effect was undone."""
    note(f"{job.key} undone")


ends = Saga("pools.ends", input=Job, steps=[end])


@step(name="pools.overrun", timeout=0.5, retry=Retry(max_attempts=1))
def overrun(job: Job) -> None:
    """Take longer than the timeout; go on after it if the job says so."""
    note(f"{job.key} began")
    until = time.monotonic() + job.takes_s
    try:
        _overrun(job, until)
    except SoftTimeLimitExceeded:
        if job.how != "goes on":
            raise
        note(f"{job.key} was interrupted")
        _overrun(job, until)
    note(f"{job.key} happened")


def _overrun(job: Job, until: float) -> None:
    while time.monotonic() < until and not may_go():
        if job.how == "computes":  # and never yields
            sum(range(10_000))
        else:
            time.sleep(0.02)


@overrun.compensation()
def undo_overrun(job: Job) -> None:
    """Record that the effect was undone."""
    note(f"{job.key} undone")


overruns = Saga("pools.overruns", input=Job, steps=[overrun])


@step(name="pools.compute", retry=Retry(max_attempts=1))
def compute(job: Job) -> None:
    """Compute without yielding."""
    note(f"{job.key} began")
    until = time.monotonic() + job.takes_s
    while time.monotonic() < until and not may_go():
        sum(range(10_000))
    note(f"{job.key} happened")


@compute.compensation()
def undo_compute(job: Job) -> None:
    """Record that the effect was undone."""
    note(f"{job.key} undone")


computes = Saga("pools.computes", input=Job, steps=[compute])


@step(name="pools.wait", retry=Retry(max_attempts=1))
def wait(job: Job, ctx: Context) -> None:
    """Note the time, and ask for more of it at first, as a busy participant does."""
    note(f"{job.key} {time.time()}")
    if ctx.attempt == 1:
        raise RetryAfter(job.takes_s, "busy")


@wait.compensation()
def undo_wait(job: Job) -> None:
    """Record that the effect was undone."""
    note(f"{job.key} undone")


waits = Saga("pools.waits", input=Job, steps=[wait])
