"""What a mutant is, and the tests that must catch it."""

from dataclasses import dataclass

__all__ = ["RACE", "Mutant", "on_sqlite", "unit"]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One edit of one function: *old* occurs in *target* exactly once, and becomes *new*.

    ``edit`` explains these; they name no module, so a mutant survives a move. *tests* are arguments
    of pytest. They select as few tests as possible, because they run often.
    """

    name: str
    target: str
    old: str
    new: str
    tests: tuple[str, ...]


def unit(*names: str) -> tuple[str, ...]:
    """Return the tests of decisions with these names, which neither need nor import a server."""
    return ("--noconftest", *(f"tests/unit/decision/test_{name}.py" for name in names))


def on_sqlite(file: str, words: str = "") -> tuple[str, ...]:
    """Return the SQLite tests of a file, or only those whose names contain the words."""
    return (f"tests/{file}.py", "-k", f"sqlite and ({words})" if words else "sqlite")


#: Two sessions on one saga, at the level where only locks keep writers apart.
RACE = ("tests/races/test_sagas.py", "-k", "read-committed and started")
