"""Before a deployment: which live sagas could the new code not finish?"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import click
from celery.exceptions import QueueNotFound
from sqlalchemy import Connection

from sagas.cli.commands import as_json, in_words, runtime, saga
from sagas.cli.terminal import counted, print_json, printable
from sagas.cli.unreadable import Unreadable, unreadable_in
from sagas.errors import ConfigurationError, PlanUnreadable
from sagas.plan import Plan, PlannedCall, PlannedStep
from sagas.record.live import LivePlan, live_plans, live_sagas, live_sagas_of
from sagas.runtime.app import Runtime
from sagas.runtime.queues import is_routed_by_function
from sagas.states import Operation
from sagas.worker.step_task import has_probe

__all__ = ["check"]

#: How many sagas of each plan are named.
EXAMPLES = 3

_KEEP = (
    "Keep these until the sagas have ended; keep a renamed task under its old name too. Or cancel "
    "the sagas, which needs the compensations of the steps that have begun."
)
_NEWER = "Deploy the version of celery-sagas that wrote it."
_ACCEPT = (
    "Let the type accept what is stored: give a new field a default, keep a removed value. Or wait "
    "until these sagas have ended."
)


@saga.command()
@click.option(
    "--limit",
    default=20,
    show_default=True,
    type=click.IntRange(1),
    help="How many sagas to name for each problem of a payload.",
)
@as_json
@click.pass_context
@in_words
def check(context: click.Context, limit: int, as_json: bool) -> None:  # noqa: FBT001 - click's way
    """List live sagas that this code cannot finish.

    It looks for the tasks, probes and queues that their plans name, and reads the inputs and the
    outputs that they still need. Run it with the new code before you deploy it. The exit code is 1
    if there are any. No value of a payload is printed.
    """
    own = runtime(context)
    plans = own.database.read(live_plans)
    stranded = own.database.read(lambda c: _stranded(c, own, plans))
    payloads = _unreadable(own, plans, limit)
    if as_json:
        print_json({"plans": stranded, "payloads": payloads})
    else:
        _say(stranded, payloads)
    if stranded or payloads:
        context.exit(1)


def _say(stranded: list[dict[str, Any]], payloads: list[dict[str, Any]]) -> None:
    for found in stranded:
        _say_plan(found)
    for found in payloads:
        _say_payload(found)
    if not stranded and not payloads:
        click.echo("Every live saga can be finished by this code.")


def _say_plan(found: dict[str, Any]) -> None:
    parked = f", {found['parked']} of them parked" if found["parked"] else ""
    click.echo(
        f"{counted(found['count'], 'live saga')} of {found['saga']!r} cannot be finished by "
        f"this code{parked}. It lacks:"
    )
    for lack in found["missing"]:
        click.echo(f"  {lack}")
    click.echo(f"  for instance {', '.join(found['examples'])}")
    click.echo(f"  {found['remedy']}")


def _say_payload(found: dict[str, Any]) -> None:
    click.echo(
        f"{counted(found['count'], 'live saga')} of {found['saga']!r} cannot go on with "
        f"this code. {_problem(found)}:"
    )
    click.echo(f"  {printable(found['reason'])}")
    for example in found["sagas"]:
        click.echo(f"  {example['id']}  {example['key']}")
    if (more := found["count"] - len(found["sagas"])) > 0:
        click.echo(f"  and {more} more; --limit names more of them.")
    click.echo(f"  {_ACCEPT}")


def _problem(found: dict[str, Any]) -> str:
    step = found["step"]
    match found["operation"]:
        case Operation.ACTION:
            return f"The action of step {step} cannot read the input"
        case Operation.COMPENSATION:
            return f"The compensation of step {step} would get the input only in part"
        case _:
            return f"The output of step {step} cannot be read by the functions that use it"


def _unreadable(own: Runtime, plans: list[LivePlan], limit: int) -> list[dict[str, Any]]:
    """Return the problems of payloads, each with the number of its sagas and some of them."""
    decode = own.payload_codec.decode
    found: dict[tuple[str, Unreadable], dict[str, Any]] = {}
    for live in live_sagas(own.database, _readable(plans)):
        for problem in unreadable_in(live, decode):
            entry = found.setdefault((live.state.name, problem), _entry(live.state.name, problem))
            entry["count"] += 1
            if len(entry["sagas"]) < limit:
                entry["sagas"].append({"id": str(live.state.id), "key": live.state.key})
    return list(found.values())


def _entry(name: str, problem: Unreadable) -> dict[str, Any]:
    return {"saga": name, **asdict(problem), "count": 0, "sagas": []}


def _readable(plans: list[LivePlan]) -> dict[str, Plan]:
    readable = {}
    for live in plans:
        with suppress(PlanUnreadable):  # which is a problem of the plan
            readable[live.hash] = Plan.from_json(live.body)
    return readable


def _stranded(connection: Connection, own: Runtime, plans: list[LivePlan]) -> list[dict[str, Any]]:
    stranded = []
    for live in plans:
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
