"""``sagas doctor``: what is wrong with the set-up, and what to do about it."""

from collections.abc import Iterator

import click

from sagas.cli import application_checks, render, server_checks
from sagas.cli.commands import as_json, runtime
from sagas.cli.findings import Check, Finding, Level, Setup, error
from sagas.cli.terminal import print_json
from sagas.errors import SagaError
from sagas.payload import text_of

__all__ = ["doctor"]

CHECKS = (*server_checks.CHECKS, *application_checks.CHECKS)


@click.command()
@as_json
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:  # noqa: FBT001 - click's way
    """Check the set-up: settings, broker, database, queues, workers.

    Each check says what it found and, where something is wrong, what to do about it. The exit code
    is 1 if there is an error; a warning is none.
    """
    found = [*_examine(context)]
    if as_json:
        print_json(
            [
                {"check": name, "level": f.level, "text": f.text, "remedy": f.remedy}
                for name, f in found
            ]
        )
    else:
        render.print_findings(found)
    if any(finding.level is Level.ERROR for _, finding in found):
        context.exit(1)


def _examine(context: click.Context) -> Iterator[tuple[str, Finding]]:
    try:
        setup = Setup(runtime(context))
    except Exception as problem:  # noqa: BLE001 - the application's own modules may raise anything
        yield "app", _described(problem)
        return
    failed: set[str] = set()
    for check in CHECKS:
        if missing := [name for name in check.needs if name in failed]:
            failed.add(check.name)
            reason = f"Not checked: first repair what is wrong with {missing[0]}."
            yield check.name, Finding(Level.SKIPPED, reason)
            continue
        for finding in _run(check, setup):
            if finding.level is Level.ERROR:
                failed.add(check.name)
            yield check.name, finding


def _run(check: Check, setup: Setup) -> list[Finding]:
    """Run a check; whatever it raises is what it found."""
    try:
        return [*check.run(setup)]
    except Exception as problem:  # noqa: BLE001 - a broken set-up may raise anything
        return [_described(problem)]


def _described(problem: Exception) -> Finding:
    text = text_of(problem).partition("\n")[0]
    # The engine's own messages name the remedy.
    return error(text if isinstance(problem, SagaError) else f"{type(problem).__name__}: {text}")
