"""What the tests may import from each other: helpers, and only those of their own folder."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent


def imported(text: str) -> Iterator[str]:
    """Return the dotted names that a module of the tests imports from the tests."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Import():
                names = [alias.name for alias in node.names]
            case ast.ImportFrom():
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            case _:
                continue
        yield from (name for name in names if name.startswith("tests."))


def wrong(folder: str, text: str) -> list[str]:
    """Return the imports that a module in a folder must not have."""
    return [
        name
        for name in imported(text)
        if any(part == "conftest" or part.startswith("test_") for part in name.split("."))
        or name.split(".")[1] not in (folder, "support")
    ]


def test_no_module_imports_a_test_module_or_another_folder() -> None:
    found = {
        str(path.relative_to(TESTS)): names
        for path in sorted(TESTS.rglob("*.py"))
        if (names := wrong(path.relative_to(TESTS).parts[0], path.read_text("utf-8")))
    }
    assert not found, "Helpers of several folders belong in tests/support, fixtures in a conftest."


@pytest.mark.parametrize(
    "statement",
    [
        "import tests.unit.test_plan",
        "from tests.unit import test_plan",
        "from tests.unit.test_plan import plan",
        "from tests.unit.conftest import forgotten_tasks",
        "from tests.races import moves",
        "def late():\n    from tests.races.moves import Move",
    ],
)
def test_the_check_reports_a_forbidden_import(statement: str) -> None:
    assert wrong("unit", statement)


def test_the_check_allows_helpers() -> None:
    assert not wrong("unit", "from tests.unit.declared import made\nimport tests.support.states")
