"""Checks of an application: its routes, queues and workers, and who else uses its record."""

from collections.abc import Iterator

from celery.exceptions import QueueNotFound

from sagas.cli.findings import Check, Finding, Setup, error, ok, warning
from sagas.cli.terminal import counted
from sagas.client.saga import defined_sagas
from sagas.errors import ConfigurationError
from sagas.record.live import live_plans
from sagas.runtime.messages import TURN_BACK
from sagas.runtime.queues import has_route, routed_queue

__all__ = ["CHECKS"]

#: Pools that cannot interrupt a step, as Celery names their modules.
_WITHOUT_LIMITS = ("solo", "thread", "threads")


def declared(setup: Setup) -> Iterator[Finding]:
    """Look whether the application declares sagas and steps."""
    if not (names := [saga.name for saga in defined_sagas()]):
        yield warning(
            "This application defines no saga.",
            "Import the modules with your sagas where the app is made, or list them in include=.",
        )
    else:
        yield ok(f"{counted(len(names), 'saga')}, {counted(len(setup.steps), 'task')} of steps.")


def routes(setup: Setup) -> Iterator[Finding]:
    """Look whether each step's messages reach a queue."""
    broken = False
    for name, task in setup.steps.items():
        try:
            routed_queue(setup.app, name, task.saga_queue)
        except (ConfigurationError, QueueNotFound) as problem:
            broken = True
            yield error(
                f"No saga can run step {name}: {problem}", "Correct task_routes or task_queues."
            )
    if not broken:
        yield ok("The messages of each step have a queue.")


def queues(setup: Setup) -> Iterator[Finding]:
    """Look whether living workers consume the queues of all steps."""
    used: dict[str, list[str]] = {}
    for name, task in setup.steps.items():
        used.setdefault(routed_queue(setup.app, name, task.saga_queue).name, []).append(name)
    own_queue = setup.own.settings.saga_queue
    if own_queue or has_route(setup.app, TURN_BACK, ()):  # else it goes to the queue of the step
        name = routed_queue(setup.app, TURN_BACK, own_queue).name
        used.setdefault(name, []).append("the engine's own task")
    if not setup.living:
        yield warning("No worker is alive.", "Run: celery -A <your app> worker")
        return
    consumed = {queue for worker in setup.living for queue in worker.queues}
    unserved = {queue: names for queue, names in used.items() if queue not in consumed}
    for queue, names in sorted(unserved.items()):
        yield error(
            f"No living worker consumes queue {queue}, which these need: "
            f"{', '.join(sorted(names))}.",
            f"Start a worker with -Q {queue}, or give the steps another queue.",
        )
    if not unserved:
        yield ok(
            f"{counted(len(setup.living), 'living worker')} consume "
            f"{', '.join(sorted(used)) or 'no queue of a step'}."
        )


def pool(setup: Setup) -> Iterator[Finding]:
    """Look whether the workers' pools enforce the timeouts of the steps."""
    limited = sorted(name for name, task in setup.steps.items() if task.saga_timeout_s is not None)
    pools = {
        str(figures.get("pool", {}).get("implementation", "")).partition(":")[0].rpartition(".")[2]
        for figures in setup.answering.values()
    } or {str(setup.app.conf.worker_pool)}
    weak = sorted(name for name in pools if name in _WITHOUT_LIMITS)
    if weak and limited:
        yield warning(
            f"The pool {', '.join(weak)} cannot interrupt a step: timeout= of "
            f"{', '.join(limited)} has no effect there.",
            "Run these steps in the prefork pool.",
        )
    else:
        yield ok(f"{', '.join(sorted(pools))}; {counted(len(limited), 'step')} with a timeout.")


def others(setup: Setup) -> Iterator[Finding]:
    """Look whether another application uses this record."""
    own = {saga.name for saga in defined_sagas()}
    strange = sorted({plan.name for plan in setup.own.database.read(live_plans)} - own)
    if strange:
        yield warning(
            f"The record has live sagas that this application does not define: "
            f"{', '.join(strange)}.",
            "Give each application a record of its own. If their code was removed, run "
            "`sagas check`.",
        )
    silent = sorted({worker.hostname for worker in setup.living} - set(setup.answering))
    if silent:
        yield warning(
            f"Workers of this record do not answer on this broker: {', '.join(silent)}. They are "
            "busy, or belong to an application with another broker.",
            "Give each application a record of its own.",
        )
    if not strange and not silent:
        yield ok("No other application uses this record.")


CHECKS = (
    Check("sagas", declared),
    Check("routes", routes),
    Check("queues", queues, needs=("tables", "routes")),
    Check("pool", pool, needs=("broker",)),
    Check("others", others, needs=("broker", "tables")),
)
