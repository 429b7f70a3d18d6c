"""Delivering alerts: to the log, to the application's hooks, and to webhooks."""

import hashlib
import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from sagas import faults
from sagas.duties.bounded_call import BoundedCall
from sagas.forking import ForkGuard
from sagas.payload import text_of
from sagas.record import alerts as outbox
from sagas.record.alerts import Alert, PendingAlert
from sagas.runtime.app import Runtime
from sagas.runtime.log_fields import log_fields

__all__ = ["Alerts", "on_alert"]

logger = logging.getLogger("sagas.alerts")

Deliver = Callable[[Alert], None]
Hook = TypeVar("Hook", bound=Callable[[Alert], object])

#: How many alerts are reserved at a time, and for how long no other worker gets them.
BATCH = 20
RESERVATION_S = 120.0

#: A receiver that does not answer within this time is tried again later.
TIMEOUT_S = 5.0

#: The waits between deliveries: doubled from the first to the longest.
FIRST_WAIT_S = 2.0
LONGEST_WAIT_S = 600.0

_POST = Path(__file__).with_name("webhook_post.py")

_hooks: dict[str, Callable[[Alert], object]] = {}


def on_alert(hook: Hook) -> Hook:
    """Call the decorated function with each ``Alert``.

    It runs in a thread of the main process of one worker, soon after a saga was parked or became
    blocked: at least once, and again after a pause if it raises or has not returned after 15
    seconds. While a call has not returned, no other one of the same function begins in that worker.
    """
    _hooks[f"{hook.__module__}.{hook.__qualname__}"] = hook
    return hook


class Alerts:
    """Delivers the outbox of alerts; any worker may, and one at a time has each alert.

    Each receiver gets each alert at least once, and more than once only if the worker dies between
    the delivery and its note, or if the receiver's answer is lost. A failing receiver does not keep
    the alert from the others.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._guard = ForkGuard()
        self._failed: set[str] = set()
        self._calls: dict[str, BoundedCall] = {}

    def deliver_once(self) -> int:
        """Deliver the alerts that are due; return how many were tried."""
        self._failed.clear()
        database = self._runtime.database
        with self._guard.guarded():
            if not database.read(outbox.any_due):
                return 0
            reserved = database.write(
                lambda c: outbox.reserve_alerts(c, limit=BATCH, reservation_s=RESERVATION_S)
            )
        until = time.monotonic() + RESERVATION_S / 2  # the rest is due again after the reservation
        for delivered, pending in enumerate(reserved):
            if time.monotonic() > until:
                return delivered
            try:
                alert, delivered_to = pending.alert, pending.delivered_to
            except Exception as error:  # noqa: BLE001 - a later version may have written anything
                self._set_aside(pending, error)
            else:
                self._deliver(pending, alert, delivered_to)
        return len(reserved)

    def _set_aside(self, pending: PendingAlert, error: Exception) -> None:
        wait_s = _wait_s(pending.attempts)
        with self._guard.guarded():
            self._runtime.database.write(lambda c: outbox.set_aside(c, pending, again_in_s=wait_s))
        logger.error(
            "Alert %s of saga %s cannot be read by this version (%s: %s). It is set aside after %s "
            "tries, and tried again in %g s. Look at the saga with: sagas -A <your app> show %s",
            pending.id,
            pending.saga_id,
            type(error).__name__,
            text_of(error),
            pending.attempts + 1,
            wait_s,
            pending.saga_id,
            extra=log_fields(pending.saga_id),
        )

    def _deliver(self, pending: PendingAlert, alert: Alert, delivered_to: frozenset[str]) -> None:
        faults.reach("alert.reserved", alert.key)
        left = {name: deliver for name, deliver in self._receivers() if name not in delivered_to}
        reached = [name for name, deliver in left.items() if self._reach(name, deliver, alert)]
        faults.reach("alert.delivered", alert.key)
        again_in_s = _wait_s(pending.attempts) if len(reached) < len(left) else None
        with self._guard.guarded():
            self._runtime.database.write(
                lambda c: outbox.note_delivery(c, pending, reached, again_in_s=again_in_s)
            )

    def _receivers(self) -> Iterator[tuple[str, Deliver]]:
        yield "log", self._bounded("log", _log)
        for name, hook in _hooks.items():
            yield f"hook {name}", self._bounded(f"hook {name}", hook)
        for url in self._runtime.settings.saga_alert_urls:
            # A URL may contain a secret: the record identifies it by its host and a digest.
            digest = hashlib.sha256(url.encode()).hexdigest()[:12]
            yield f"webhook {urlsplit(url).hostname} {digest}", _poster(url)

    def _bounded(self, name: str, deliver: Callable[[Alert], object]) -> Deliver:
        def run(alert: Alert) -> None:
            last = self._calls.get(name)
            if last is not None and last.runs:
                raise TimeoutError("its last call has not returned yet")
            call = self._calls[name] = BoundedCall(lambda: deliver(alert), name, self._guard)
            call.run()

        return run

    def _reach(self, name: str, deliver: Deliver, alert: Alert) -> bool:
        if name in self._failed:  # one failure per round is enough
            return False
        try:
            deliver(alert)
        except Exception as error:  # noqa: BLE001 - a receiver may fail in any way
            self._failed.add(name)
            logger.warning(
                "The alert of saga %s did not reach %s (%s); it will be delivered again.",
                alert.saga_id,
                name,
                text_of(error),
                extra=log_fields(alert.saga_id, saga=alert.name, key=alert.key, epoch=alert.epoch),
            )
            return False
        return True


def _wait_s(attempts: int) -> float:
    """Return how long to wait after so many failed deliveries, and one more."""
    return float(min(FIRST_WAIT_S * 2.0 ** min(attempts, 20), LONGEST_WAIT_S))


def _log(alert: Alert) -> None:
    logger.error(
        "Saga %s %s (%s) is %s: %s%s It needs a person; look at it with: "
        "sagas -A <your app> show %s",
        alert.name,
        alert.key,
        alert.saga_id,
        alert.event.removeprefix("saga."),
        alert.reason,
        f" Its queue is {alert.queue}." if alert.queue else "",
        alert.saga_id,
        extra=log_fields(alert.saga_id, saga=alert.name, key=alert.key, epoch=alert.epoch),
    )


def _poster(url: str) -> Deliver:
    def post(alert: Alert) -> None:
        job = {
            "url": url,
            "body": alert.to_json(),
            "headers": {"Idempotency-Key": f"{alert.saga_id}:{alert.epoch}:{alert.event}"},
            "timeout_s": TIMEOUT_S,
        }
        done = subprocess.run(  # noqa: S603 - the program is part of this package
            [sys.executable, "-I", _POST],
            input=json.dumps(job),
            capture_output=True,
            check=False,
            text=True,
            timeout=TIMEOUT_S * 3,
        )
        if done.returncode != 0:
            raise ConnectionError(done.stderr.strip() or f"exit code {done.returncode}")

    return post
