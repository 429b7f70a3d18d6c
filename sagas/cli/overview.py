"""All sagas at a glance: figures, plans, workers, and a plan as a picture."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import click

from sagas.cli import render
from sagas.cli.commands import as_json, in_words, runtime, saga
from sagas.cli.terminal import print_json
from sagas.client.saga import defined_sagas, saga_named
from sagas.plan import Plan
from sagas.record.stats import stats as figures
from sagas.record.workers import known_workers
from sagas.states import ENDED, SagaStatus

__all__ = ["graph", "plans", "stats", "workers"]


@saga.command()
@as_json
@click.pass_context
@in_words
def stats(context: click.Context, as_json: bool) -> None:  # noqa: FBT001 - click's way
    """Show how many sagas have which status, and what needs a person.

    Also shows how many workers are alive, and how long the sagas of the last hour took.
    """
    own = runtime(context)
    found = own.database.read(lambda c: figures(c, lease_s=own.settings.saga_lease_s))
    if as_json:
        print_json(found)
    else:
        render.print_stats(found)


@saga.command()
@click.argument("name")
@click.pass_context
@in_words
def graph(context: click.Context, name: str) -> None:
    """Print the plan of the saga NAME as a Mermaid flowchart."""
    runtime(context)
    click.echo(mermaid(saga_named(name).plan))


def mermaid(plan: Plan) -> str:
    """Draw a plan: solid arrows lead forward, dashed ones to compensations."""
    lines = ["flowchart LR"]
    for number, step in enumerate(plan):
        kinds = ("pivot", "best_effort", "read_only", "probe")
        marks = [kind.replace("_", " ") for kind in kinds if getattr(step, kind)]
        label = "<br>".join([step.name, *marks])
        shape = ('{{"', '"}}') if step.pivot else ('["', '"]')
        lines.append(f"    s{number}{shape[0]}{label}{shape[1]}")
        if number:
            lines.append(f"    s{number - 1} --> s{number}")
        if step.compensation:
            lines.append(f'    s{number} -.-> c{number}["{step.compensation.task}"]')
    return "\n".join(lines)


@saga.command()
@as_json
@click.pass_context
@in_words
def plans(context: click.Context, as_json: bool) -> None:  # noqa: FBT001 - click's way
    """List the sagas that this application defines, with their figures.

    Sagas of the record that it does not define are listed as well.
    """
    own = runtime(context)
    found = own.database.read(lambda c: figures(c, lease_s=own.settings.saga_lease_s))
    defined = {saga.name: saga.plan for saga in defined_sagas()}
    rows = [
        _plan(name, defined.get(name), found.counts.get(name, {}))
        for name in sorted({*defined, *found.counts})
    ]
    if as_json:
        print_json(rows)
    else:
        render.print_plans(rows)


def _plan(name: str, plan: Plan | None, counts: Mapping[SagaStatus, int]) -> dict[str, Any]:
    live = [status for status in SagaStatus if status not in ENDED]
    ended = (SagaStatus.COMPLETED, SagaStatus.COMPENSATED)
    return {
        "name": name,
        "defined": plan is not None,
        "steps": [step.name for step in plan] if plan else [],
        "deadline_s": plan.deadline_s if plan else None,
        "running": sum(counts.get(status, 0) for status in live),
        "parked": counts.get(SagaStatus.FAILED, 0),
        "ended": sum(counts.get(status, 0) for status in ended),
    }


@saga.command()
@as_json
@click.pass_context
@in_words
def workers(context: click.Context, as_json: bool) -> None:  # noqa: FBT001 - click's way
    """List the workers of the record, with their queues and their last heartbeats.

    A worker is alive if it has written a heartbeat within the lease. One that is not is expired by
    the others, and what it held goes on elsewhere.
    """
    own = runtime(context)
    lease_s = own.settings.saga_lease_s
    found = own.database.read(known_workers)
    if as_json:
        print_json([{**asdict(one), "alive": one.silent_s <= lease_s} for one in found])
    else:
        render.print_workers(found, lease_s=lease_s)
