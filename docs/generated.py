"""What the reference pages show is generated from the code, so that it cannot go stale.

A page asks for it by a comment: ``<!-- generated: commands -->``.
"""

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Any

import click

from sagas.cli import main
from sagas.runtime.settings import Settings
from sagas.states import SAGA_EDGES, STEP_EDGES


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the comments of a page; MkDocs calls this for each."""
    return re.sub(r"<!-- generated: (\w+) -->", lambda match: _GENERATED[match[1]](), markdown)


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
    lines = [f"## {' '.join(path)}", command.help or "", f"```text\n{usage}\n```"]
    records = (parameter.get_help_record(context) for parameter in command.params)
    options = [f"| `{record[0]}` | {record[1]} |" for record in records if record]
    if options:
        lines.append("\n".join(["| option | |", "|---|---|", *options]))
    yield "\n\n".join(lines)


def settings() -> str:
    """List the settings with their defaults; what they mean stands in their docstring."""
    documented = dict(
        re.findall(r"(saga_\w+): (.+?)(?=\n +saga_\w+: |\Z)", _attributes(), re.DOTALL)
    )
    rows = ["| setting | default | |", "|---|---|---|"]
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
        return ", ".join(state for state in edges if state in states) or "none: it is over"

    rows = [f"| {state} | {in_order(there)} |" for state, there in edges.items()]
    return "\n".join(["| from | to |", "|---|---|", *rows])


_GENERATED: dict[str, Callable[[], str]] = {
    "commands": commands,
    "settings": settings,
    "saga_edges": saga_edges,
    "step_edges": step_edges,
}
