"""Any command line gives an exit code and a message, no traceback, and touches no other saga."""

import os
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import example, given
from hypothesis import strategies as st

from sagas.cli import main
from sagas.cli.commands import saga as group
from tests.fuzz.effort import ANY_TEXT, effort
from tests.fuzz.world import World

#: `dev` runs servers until somebody stops it, and `doctor` waits for workers to answer.
COMMANDS = sorted(set(group.commands) - {"dev", "doctor"})
#: Commands that act, and the options by which they choose sagas that nobody names.
ACTING = {"cancel", "retry", "skip", "resolve"}
FILTERS = {"--status", "--name", "--code", "--blocked", "--older-than", "--younger-than"}
OPTIONS = [
    *sorted(FILTERS),
    *("--json", "--key", "--limit", "--dry-run"),
    *("--reason", "--note", "--by", "--as", "--key-field", "--help", "--"),
]
VALUES = [
    *(
        "failed",
        "COMPLETED",
        "shop.order",
        "shop.reserve",
        "shop.charge",
        "-",
        "7d",
        "90s",
        "upgrade",
    ),
    *("0", "-1", "1", "9" * 30, "9" * 400 + "d", "1e9s", "٣s", ".", "/", "/dev/null/x"),
]


@pytest.fixture
def shown(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Return the world, as the app that the command line finds."""
    monkeypatch.setenv("CELERY_APP", "tests.fuzz.app")
    monkeypatch.setattr("tests.fuzz.app.app", world.app)
    return world


def can_be_given(word: str) -> bool:
    """Tell whether a process can have this word on its command line."""
    try:
        return b"\0" not in os.fsencode(word)
    except UnicodeEncodeError:  # half of a surrogate pair
        return False


def test_any_command_line_ends_in_a_message_and_touches_no_other_saga(shown: World) -> None:
    names = [name for key, saga in shown.states.items() for name in (key, str(saga.id))]
    anything = st.one_of(st.sampled_from(names), st.sampled_from(VALUES), ANY_TEXT)
    words = st.one_of(anything, st.sampled_from(OPTIONS)).filter(can_be_given)
    sensible = st.sampled_from([[], ["--reason", "…"], ["--note", "…"], ["--note", "\x1b[31m"]])
    codes = set()

    @effort(300)
    @example(
        "cancel", ["key of STARTED"], [], ["--reason", "…"], "{}"
    )  # one that is certain to act
    @given(
        command=st.sampled_from(COMMANDS),
        first=st.lists(st.sampled_from(names), max_size=1),
        rest=st.lists(words, max_size=4),
        more=sensible,
        text=st.one_of(st.just("{}"), ANY_TEXT),
    )
    def is_civil(command: str, first: Any, rest: Any, more: Any, text: str) -> None:
        argv = [command, *first, *rest, *more]
        result = CliRunner().invoke(main, argv, input=text.encode(errors="surrogatepass"))
        assert result.exception is None or isinstance(result.exception, SystemExit)
        assert result.exit_code in (0, 1, 2)
        codes.add(result.exit_code)
        if result.exit_code != 2:  # where click quotes the input
            assert all(c.isprintable() or c == "\n" for c in result.output), repr(result.output)
        named = {key for key, saga in shown.states.items() if {key, str(saga.id)} & set(argv)}
        changed = shown.changed()
        if command in ACTING and FILTERS & set(argv) and "--dry-run" not in argv:
            return
        assert changed <= named | {""}

    is_civil()
    assert codes == {0, 1, 2}
    assert shown.moves
