"""Before a deployment: which live sagas could the new code not finish?"""

from collections.abc import Iterator
from typing import Any

import click
from celery.exceptions import QueueNotFound
from sqlalchemy import Connection

from sagas.cli import render
from sagas.cli.commands import as_json, in_words, runtime, saga
from sagas.errors import ConfigurationError, PlanUnreadable
from sagas.plan import Plan, PlannedCall, PlannedStep
from sagas.record.stats import LivePlan, live_plans, live_sagas_of
from sagas.runtime.app import Runtime
from sagas.runtime.queues import is_routed_by_function
from sagas.worker.step_task import has_probe

__all__ = ["check"]

#: How many sagas of each plan are named.
EXAMPLES = 3

_KEEP = (
    "Keep these until the sagas have ended; keep a renamed task under its old name too. Or cancel "
    "the sagas, which needs the compensations of the steps that have begun."
)
_NEWER = "Deploy the version of celery-sagas that wrote it."


@saga.command()
@as_json
@click.pass_context
@in_words
def check(context: click.Context, as_json: bool) -> None:  # noqa: FBT001 - click's way
    """List live sagas that this code cannot finish.

    Run it with the new code before you deploy it. The exit code is 1 if there are any.
    """
    own = runtime(context)
    stranded = own.database.read(lambda c: _stranded(c, own))
    if as_json:
        render.print_json(stranded)
    for found in [] if as_json else stranded:
        _say(found)
    if stranded:
        context.exit(1)
    if not as_json:
        click.echo("Every live saga can be finished by this code.")


def _say(found: dict[str, Any]) -> None:
    parked = f", {found['parked']} of them parked" if found["parked"] else ""
    click.echo(
        f"{render.counted(found['count'], 'live saga')} of {found['saga']!r} cannot be finished by "
        f"this code{parked}. It lacks:"
    )
    for lack in found["missing"]:
        click.echo(f"  {lack}")
    click.echo(f"  for instance {', '.join(found['examples'])}")
    click.echo(f"  {found['remedy']}")


def _stranded(connection: Connection, own: Runtime) -> list[dict[str, Any]]:
    stranded = []
    for live in live_plans(connection):
        missing, remedy = _missing(own, live)
        if missing:
            examples = live_sagas_of(connection, live.hash, limit=EXAMPLES)
            stranded.append(
                {
                    "saga": live.name,
                    "plan": live.hash,
                    "count": live.sagas,
                    "parked": live.parked,
                    "missing": missing,
                    "examples": [str(saga_id) for saga_id in examples],
                    "remedy": remedy,
                }
            )
    return stranded


def _missing(own: Runtime, live: LivePlan) -> tuple[list[str], str]:
    """Return what a plan needs but this code lacks, and what to do about it."""
    try:
        plan = Plan.from_json(live.body)
    except PlanUnreadable as error:
        return [str(error)], _NEWER
    return [lack for step in plan for lack in _lacks_of(own, step)], _KEEP


def _lacks_of(own: Runtime, step: PlannedStep) -> Iterator[str]:
    for operation, call in (("action", step.action), ("compensation", step.compensation)):
        if call is None:
            continue
        if call.task not in own.app.tasks:
            yield f"task {call.task}, the {operation} of step {step.name}"
        elif not _has_queue(own, call):
            yield f"queue {call.queue or 'of the route'}, of the {operation} of step {step.name}"
    if step.probe and step.action.task in own.app.tasks and not has_probe(step.action.task):
        yield f"the probe of {step.action.task}, of step {step.name}"


def _has_queue(own: Runtime, call: PlannedCall) -> bool:
    """Tell whether this code has the queue; without task_queues it has every queue."""
    if call.queue is None and is_routed_by_function(own.app):
        return True  # it may need the arguments of a message
    try:
        name = own.messages.queue_of(call).name
    except (ConfigurationError, QueueNotFound):
        return False
    declared = own.app.conf.task_queues
    return not declared or name in own.app.amqp.Queues(declared)
