"""Generates from the code what the documentation lists, so that it cannot go stale.

A page asks for a part by a comment: ``<!-- generated: commands -->``. MkDocs replaces it when it
builds the page. The README is read without a build, so it holds the part itself, between that
comment and ``<!-- end -->``, and this command brings it up to date::

    python docs/generated.py README.md
"""

import ast
import dataclasses
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from itertools import zip_longest
from pathlib import Path
from typing import Any

import click

from sagas.cli import main
from sagas.faults import POINTS
from sagas.runtime.settings import Settings
from sagas.states import SAGA_EDGES, STEP_EDGES

_ROOT = Path(__file__).parents[1]


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the comments of a page; MkDocs calls this for each page."""
    return re.sub(r"<!-- generated: (\w+) -->", lambda match: _GENERATED[match[1]](), markdown)


def refreshed(text: str) -> str:
    """Return the text with every part between a comment and ``<!-- end -->`` generated anew."""
    return re.sub(
        r"(<!-- generated: (\w+) -->).*?(<!-- end -->)",
        lambda match: f"{match[1]}\n\n{_GENERATED[match[2]]()}\n\n{match[3]}",
        text,
        flags=re.DOTALL,
    )


def example() -> str:
    """Show the smallest complete example, without its docstring."""
    source = (_ROOT / "examples/shop.py").read_text()
    docstring = ast.parse(source).body[0]
    code = "\n".join(source.splitlines()[docstring.end_lineno :]).strip()
    return f"```python\n{code}\n```"


def crash_table() -> str:
    """List the fault points; an action and a compensation share the row that holds for both."""
    names: dict[tuple[str, str, str], list[str]] = {}
    for point in POINTS.values():
        row = (point.committed, point.lost, point.closed_by)
        names.setdefault(row, []).append(f"`{point.name}`")
    rows = [f"| {' | '.join(row)} | {'<br>'.join(points)} |" for row, points in names.items()]
    return "\n".join(["| committed | lost | closed by | fault point |", "|---|---|---|---|", *rows])


def events() -> str:
    """List the events of a saga's history, with the sentence below each in ``sagas.events``."""
    return events_of((_ROOT / "sagas/events.py").read_text())


def events_of(source: str) -> str:
    """List the members of the class ``Event`` in a module's source.

    Raises:
        ValueError: a member has no sentence below it.
    """
    classes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    body = next(node.body for node in classes if node.name == "Event")
    rows = ["| event | meaning |", "|---|---|"]
    for member, below in zip_longest(body, body[1:]):
        if not isinstance(member, ast.Assign):
            continue
        match below:
            case ast.Expr(value=sentence):
                said = " ".join(str(ast.literal_eval(sentence)).split())
                rows.append(f"| `{ast.literal_eval(member.value)}` | {said} |")
            case _:
                raise ValueError(f"{ast.unparse(member)}: this event has no sentence below it.")
    return "\n".join(rows)


def commands() -> str:
    """Describe each command with its options."""
    return "\n\n".join(_described(("sagas",), main))


def _described(path: tuple[str, ...], command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=" ".join(path))
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            yield from _described((*path, name), command.commands[name])
        return
    usage = command.get_usage(context).removeprefix("Usage: ")
    said = inspect.cleandoc(command.help or "")
    lines = [f"## {' '.join(path)}", said, f"```text\n{usage}\n```"]
    found = (p.get_help_record(context) for p in command.params)
    options = [_option(*record) for record in found if record and record[1]]  # usage has the others
    if options:
        lines.append("\n".join(["| option | meaning |", "|---|---|", *options]))
    yield "\n\n".join(lines)


def _option(names: str, meaning: str) -> str:
    choices = names.replace("|", " | ")  # with room to break a long list
    return f"| `{choices}` | {meaning} |"


def settings() -> str:
    """List the settings with their defaults; the docstring of ``Settings`` says what they mean."""
    documented = dict(
        re.findall(r"(saga_\w+): (.+?)(?=\n +saga_\w+: |\Z)", _attributes(), re.DOTALL)
    )
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for field in dataclasses.fields(Settings):
        required = field.default is dataclasses.MISSING
        default = "required" if required else f"`{field.default!r}`"
        meaning = " ".join(documented[field.name].split())
        rows.append(f"| `{field.name}` | {default} | {meaning} |")
    return "\n".join(rows)


def _attributes() -> str:
    return (Settings.__doc__ or "").partition("Attributes:")[2]


def saga_edges() -> str:
    """List the edges of a saga's statuses."""
    return _edges(SAGA_EDGES)


def step_edges() -> str:
    """List the edges of a step's statuses."""
    return _edges(STEP_EDGES)


def _edges(edges: Mapping[Any, frozenset[Any]]) -> str:
    def in_order(states: frozenset[StrEnum]) -> str:
        return ", ".join(state for state in edges if state in states) or "none"

    rows = [f"| {state} | {in_order(there)} |" for state, there in edges.items()]
    return "\n".join(["| from | to |", "|---|---|", *rows])


_GENERATED: dict[str, Callable[[], str]] = {
    "commands": commands,
    "crash_table": crash_table,
    "events": events,
    "example": example,
    "saga_edges": saga_edges,
    "settings": settings,
    "step_edges": step_edges,
}

if __name__ == "__main__":
    for page in map(Path, sys.argv[1:]):
        page.write_text(refreshed(page.read_text()))
