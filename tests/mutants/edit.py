"""Edits of source code that survive moving and reformatting: what is compared is syntax.

A pattern is an expression, or one or more statements. A keyword argument is written like an
assignment, so assignments stand for the keyword arguments of a call too. An empty replacement
removes what was found.
"""

import ast
import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Package"]


@dataclass(frozen=True, slots=True)
class Package:
    """The syntax of every module below a folder."""

    folder: Path
    _trees: dict[Path, ast.Module] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for path in sorted(self.folder.rglob("*.py")):
            name = path.relative_to(self.folder.parent)
            self._trees[name] = ast.parse(path.read_text("utf-8"))

    def edited(self, target: str, old: str, new: str) -> tuple[Path, str]:
        """Return a module, and its text with *old* replaced within *target*.

        *target* is the qualified name of a function, a class or a variable, in any module.

        Raises:
            LookupError: *old* is not there exactly once.
        """
        found = [
            (path, place)
            for path, tree in self._trees.items()
            for node in _named(tree.body, target)
            for place in _places(node, old)
        ]
        if len(found) != 1:
            raise LookupError(f"{old!r} is in {target} {len(found)} times, and must be there once")
        path, (at, length) = found[0]
        tree = copy.deepcopy(self._trees[path])
        for node in _named(tree.body, target):
            for again, _ in _places(node, old):
                again.put(_nodes(new, as_keywords=at.name == "keywords"), length)
        return path, ast.unparse(tree)


@dataclass(frozen=True, slots=True)
class _Place:
    """A field of a node; *at* is the place in the field if the field is a list."""

    node: ast.AST
    name: str
    at: int | None = None

    def put(self, new: list[ast.AST], length: int) -> None:
        if self.at is None:
            (value,) = new
            setattr(self.node, self.name, value)
        else:
            getattr(self.node, self.name)[self.at : self.at + length] = new


def _named(body: Iterable[ast.stmt], target: str, within: str = "") -> Iterator[ast.AST]:
    for node in body:
        match node:
            case ast.ClassDef(name=name):
                yield from _named(node.body, target, f"{within}{name}.")
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                pass
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                pass
            case _:
                continue
        if within + name == target:
            yield node


def _places(root: ast.AST, pattern: str) -> Iterator[tuple[_Place, int]]:
    """Yield every place below a node where a pattern occurs, and the number of nodes it spans."""
    nodes, keywords = _nodes(pattern), _nodes(pattern, as_keywords=True)
    for node in ast.walk(root):
        for name, value in ast.iter_fields(node):
            if isinstance(value, ast.AST) and _same([value], nodes):
                yield _Place(node, name), 1
            if not isinstance(value, list):
                continue
            wanted = keywords if name == "keywords" else nodes
            for at in range(len(value) - len(wanted) + 1 if wanted else 0):
                if _same(value[at : at + len(wanted)], wanted):
                    yield _Place(node, name, at), len(wanted)


def _nodes(pattern: str, *, as_keywords: bool = False) -> list[ast.AST]:
    body = ast.parse(pattern).body
    if as_keywords:
        given = [_keyword(node) for node in body]
        return [] if None in given else [node for node in given if node is not None]
    match body:
        case [ast.Expr(value=value)]:
            return [value]
        case _:
            return [*body]


def _keyword(node: ast.stmt) -> ast.keyword | None:
    match node:
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            return ast.keyword(name, value)
        case _:
            return None


def _same(some: Sequence[Any], others: Sequence[ast.AST]) -> bool:
    return len(some) == len(others) and all(
        isinstance(one, ast.AST) and ast.dump(one) == ast.dump(other)
        for one, other in zip(some, others, strict=True)
    )
