"""All sagas at a glance: figures, and a plan as a picture."""

import click

from sagas.cli import render
from sagas.cli.commands import as_json, in_words, runtime, saga
from sagas.cli.terminal import print_json
from sagas.client.saga import saga_named
from sagas.plan import Plan
from sagas.record.stats import stats as figures

__all__ = ["graph", "stats"]


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
