"""The documentation's generated parts are complete, and the README is up to date."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from sagas.faults import POINTS
from tests.docs.blocks import ROOT

README = ROOT / "README.md"


@pytest.fixture(scope="module")
def generated() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generated", ROOT / "docs/generated.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def refreshed(text: str, folder: Path) -> str:
    """Return a README as the command that contributors run rewrites it."""
    page = folder / "README.md"
    page.write_text(text)
    subprocess.run([sys.executable, ROOT / "docs/generated.py", page], cwd=ROOT, check=True)
    return page.read_text()


def test_the_readme_is_up_to_date(tmp_path: Path) -> None:
    now = README.read_text()
    assert refreshed(now, tmp_path) == now, "run: python docs/generated.py README.md"


@pytest.mark.parametrize("part", ["`turn_back.recorded`", "booking_saga = Saga("])
def test_the_command_restores_a_generated_part_that_was_changed(part: str, tmp_path: Path) -> None:
    now = README.read_text()
    assert refreshed(now.replace(part, "something else"), tmp_path) == now


def test_every_fault_point_has_a_row_in_the_crash_table(generated: ModuleType) -> None:
    table = generated.crash_table()
    assert [name for name in POINTS if f"`{name}`" not in table] == []


EVENTS = '''
class Event(StrEnum):
    """What happens to a saga."""

    STARTED = "started"
    """The saga is in the record, and nothing of it
    has run."""
    BLOCKED = "blocked"
'''


def test_an_event_is_listed_with_the_sentence_below_it(generated: ModuleType) -> None:
    complete = f'{EVENTS}    """It needs a deploy or a repair."""\n'
    assert generated.events_of(complete).splitlines()[2:] == [
        "| `started` | The saga is in the record, and nothing of it has run. |",
        "| `blocked` | It needs a deploy or a repair. |",
    ]


def test_an_event_without_a_sentence_is_an_error(generated: ModuleType) -> None:
    with pytest.raises(ValueError, match="BLOCKED = 'blocked'"):
        generated.events_of(EVENTS)
