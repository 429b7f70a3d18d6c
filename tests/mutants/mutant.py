"""What a mutant is, and the tests that are asked about it."""

from dataclasses import dataclass

__all__ = ["RACE", "Mutant", "on_sqlite", "unit"]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One edit of one function: *old* stands in *target* exactly once, and becomes *new*.

    ``edit`` says what these are; they name no module, so that a mutant outlives a move. *tests* are
    arguments of pytest: as few tests as will do, for all of them are run often.
    """

    name: str
    target: str
    old: str
    new: str
    tests: tuple[str, ...]


def unit(*names: str) -> tuple[str, ...]:
    """Return the tests of decisions of these names, which need no server and import none."""
    return ("--noconftest", *(f"tests/unit/decision/test_{name}.py" for name in names))


def on_sqlite(file: str, words: str = "") -> tuple[str, ...]:
    """Return the tests of a file that use SQLite, or those of them whose names have the words."""
    return (f"tests/{file}.py", "-k", f"sqlite and ({words})" if words else "sqlite")


#: Two sessions at one saga. The level at which only locks keep writers apart.
RACE = ("tests/races/test_sagas.py", "-k", "read-committed and started")
