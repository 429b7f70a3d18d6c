"""How a Celery worker gets its duties: a bootstep of its own, and the signals of its consumer."""

from typing import Any

from celery import bootsteps, signals

from sagas.duties.pool import ends_with_children, warn_of_limits
from sagas.duties.supervisor import Supervisor
from sagas.duties.unregistered_tasks import note_unregistered
from sagas.runtime.app import Runtime

__all__ = ["connect"]


def connect(runtime: Runtime) -> None:
    """Give every worker of the app its duties."""
    runtime.app.steps["worker"].add(_step_of(runtime))

    def enter(sender: Any = None, **_: Any) -> None:
        if sender is not None and sender.app is runtime.app:
            runtime.enter_worker(sender.hostname)

    def leave(sender: Any = None, **_: Any) -> None:
        # For a worker that ends before all of its steps have started: Celery stops none then.
        if (duties := _duties(sender, runtime)) is not None:
            duties.stop()

    def received(sender: Any = None, request: Any = None, **_: Any) -> None:
        if (duties := _duties(getattr(sender, "controller", None), runtime)) is not None:
            duties.in_flight.note_received(request)

    def unregistered(
        sender: Any = None, message: Any = None, name: str | None = None, **_: Any
    ) -> None:
        if (duties := _duties(getattr(sender, "controller", None), runtime)) is not None:
            note_unregistered(runtime.app, duties.in_flight, message, str(name))

    # The incarnation begins before the pool forks, so that the children know it.
    signals.worker_init.connect(enter)
    signals.task_received.connect(received)
    signals.task_unknown.connect(unregistered)
    signals.worker_shutdown.connect(leave)
    # The signals hold their receivers weakly, so that an app that is dropped can be collected.
    runtime.receivers = (enter, received, unregistered, leave)


def _duties(worker: Any, runtime: Runtime) -> Supervisor | None:
    """Return the duties of a worker, if it is one of this app and has started them."""
    if getattr(worker, "app", None) is not runtime.app:
        return None
    duties: Supervisor | None = getattr(worker, "saga_duties", None)
    return duties


def _step_of(runtime: Runtime) -> type[bootsteps.StartStopStep]:
    class SagaDuties(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
        """Starts after the pool has forked, and before the first message is received."""

        requires = ("celery.worker.components:Pool",)

        def start(self, parent: Any) -> None:
            warn_of_limits(runtime.app, parent.pool)
            parent.saga_duties = Supervisor(runtime.as_worker(parent.hostname))
            parent.saga_duties.start()

        def stop(self, parent: Any) -> None:
            # Steps stop in reverse order, this one before the pool. The duties go on until the
            # pool has drained too, so that the attempts that still run do not count as lost.
            supervisor, then = parent.saga_duties, parent.blueprint.on_stopped
            lingering = not ends_with_children(parent.pool)

            def on_stopped() -> None:
                supervisor.stop(lingering=lingering)
                if then is not None:
                    then()

            parent.blueprint.on_stopped = on_stopped

        terminate = stop

    return SagaDuties
