"""Looking at all sagas at once: figures, a plan as a picture, a check before a deployment."""

import click

from sagas.cli import render
from sagas.cli.commands import as_json, in_words, runtime, saga
from sagas.plan import Plan
from sagas.record.stats import live_plans
from sagas.record.stats import stats as figures
from sagas.runtime.app import Runtime
from sagas.runtime.saga import saga_named
from sagas.runtime.steps import has_probe

__all__ = ["check", "graph", "stats"]


@saga.command()
@as_json
@click.pass_context
@in_words
def stats(context: click.Context, as_json: bool) -> None:  # noqa: FBT001 - click's way
    """Show how many sagas stand where, how long they take, and what waits for a person."""
    own = runtime(context)
    found = own.database.read(lambda c: figures(c, lease_s=own.settings.saga_lease_s))
    if as_json:
        render.print_json(found)
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


@saga.command()
@as_json
@click.pass_context
@in_words
def check(context: click.Context, as_json: bool) -> None:  # noqa: FBT001 - click's way
    """List live sagas that this code cannot finish; run it with new code before you deploy it.

    The exit code is 1 if there are any.
    """
    own = runtime(context)
    stranded = [
        {"saga": plan.name, "missing": missing, "sagas": [str(saga_id) for saga_id in saga_ids]}
        for plan, saga_ids in own.database.read(live_plans)
        if (missing := _missing(own, plan))
    ]
    if as_json:
        render.print_json(stranded)
    for found in [] if as_json else stranded:
        count = len(found["sagas"])
        click.echo(f"{count} live sagas {found['saga']!r} need what this code does not have:")
        click.echo(f"  {', '.join(found['missing'])}")
        click.echo(f"  for instance {found['sagas'][0]}")
    if stranded:
        context.exit(1)
    if not as_json:
        click.echo("Every live saga can be finished by this code.")


def _missing(own: Runtime, plan: Plan) -> list[str]:
    """Return the tasks and probes that a plan needs and this code lacks."""
    missing = []
    for step in plan:
        calls = [step.action, *([step.compensation] if step.compensation else [])]
        missing += [f"task {call.task}" for call in calls if call.task not in own.app.tasks]
        if step.probe and not has_probe(step.action.task):
            missing.append(f"the probe of {step.action.task}")
    return missing


def mermaid(plan: Plan) -> str:
    """Draw a plan: the way forward, and dashed the way back."""
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
