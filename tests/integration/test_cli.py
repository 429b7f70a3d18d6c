"""The command line on the real record."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, update
from sqlalchemy.exc import OperationalError

from sagas.decision import Errored, Succeeded
from sagas.record import queries
from sagas.record import tables as t
from sagas.record.database import Database
from sagas.record.migrate import head_revision
from sagas.record.store import Store
from sagas.sql import before_now
from sagas.states import Operation
from tests.support.command_line import APP, Run, error_of, json_of, output_of
from tests.support.records import (
    ERRORED,
    PLAN,
    REFUSED,
    claims,
    concludes,
    move,
    parked,
    saga_row,
    started,
    turned_back,
)
from tests.support.shop import order_saga

# List.


def test_an_empty_list_says_so(run_saga: Run) -> None:
    assert output_of(run_saga("list")) == "No sagas match.\n"
    assert json_of(run_saga("list", "--json")) == []


def test_a_list_shows_each_saga_with_its_status_and_why_it_turned_back(
    run_saga: Run, store: Store
) -> None:
    saga_id = turned_back(store)
    shown = output_of(run_saga("list"))
    for word in (str(saga_id), "trip", "T-1", "COMPENSATED", "hotel: SOLD_OUT: sold out"):
        assert word in shown


def test_a_list_as_json_has_every_column(run_saga: Run, store: Store) -> None:
    saga_id = turned_back(store)
    (shown,) = json_of(run_saga("list", "--json"))
    row = saga_row(store.database, saga_id)
    assert shown["id"] == str(saga_id)
    assert (shown["name"], shown["key"], shown["status"]) == ("trip", "T-1", "COMPENSATED")
    assert shown["started_at"] == row.started_at.isoformat()
    assert shown["failure"]["code"] == "SOLD_OUT"
    assert shown["parked"] is None


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        ([], ["T-3", "T-2", "T-1"]),
        (["--status", "COMPENSATED"], ["T-1"]),
        (["--status", "started"], ["T-3", "T-2"]),
        (["--key", "T-2"], ["T-2"]),
        (["--name", "another"], []),
        (["--limit", "1"], ["T-3"]),
    ],
    ids=" ".join,
)
def test_a_list_can_be_filtered(
    options: list[str], keys: list[str], run_saga: Run, store: Store
) -> None:
    turned_back(store, "T-1")
    started(store, "T-2")
    started(store, "T-3")
    assert [saga["key"] for saga in json_of(run_saga("list", "--json", *options))] == keys


def test_a_truncated_list_says_so(run_saga: Run, store: Store) -> None:
    for number in range(3):
        started(store, f"T-{number}")
    assert "The newest 2; more with --limit." in output_of(run_saga("list", "--limit", "2"))
    assert "more with --limit" not in output_of(run_saga("list"))


# Show.


def test_a_saga_is_shown_by_its_id_and_by_its_key(run_saga: Run, store: Store) -> None:
    saga_id = turned_back(store)
    by_key, by_id = (output_of(run_saga("show", word)) for word in ("T-1", str(saga_id)))
    assert by_key == by_id
    for word in ("because of: hotel: SOLD_OUT: sold out", "flight", "hotel", "sweep 1"):
        assert word in by_key


def test_the_history_shows_the_error_of_an_attempt_and_when_the_next_one_is_due(
    run_saga: Run, store: Store
) -> None:
    saga_id = started(store, steps=PLAN.steps[:1])
    claims(store, saga_id, "flight")
    concludes(store, saga_id, "flight", ERRORED)
    steps, history = halves(output_of(run_saga("show", "T-1")))
    assert "; tried again at 20" in steps
    assert f"{ERRORED.error['type']}: {ERRORED.error['message']}" in history
    claims(store, saga_id, "flight")
    concludes(store, saga_id, "flight", Succeeded())
    steps, history = halves(output_of(run_saga("show", "T-1")))
    assert "tried again" not in steps
    assert f"{ERRORED.error['type']}: {ERRORED.error['message']}" in history


def test_the_history_shows_why_a_saga_turned_back_and_why_it_is_parked(
    run_saga: Run, store: Store
) -> None:
    parked(store)
    _, history = halves(output_of(run_saga("show", "T-1")))
    *_, (turned,), (is_parked,) = (
        [line for line in history.splitlines() if sign in line and "flight (" not in line]
        for sign in ("COMPENSATING", " FAILED ")
    )
    assert "OSError: no route" in turned
    assert "is not undone: flight." in is_parked


def test_an_undo_that_finally_succeeded_shows_no_error_of_its_own(
    run_saga: Run, store: Store
) -> None:
    saga_id = started(store, steps=PLAN.steps[:1])
    for _ in range(2):
        claims(store, saga_id, "flight")
        concludes(store, saga_id, "flight", ERRORED)
    move(store, saga_id)
    for result in (Errored({"type": "OSError", "message": "not now"}), Succeeded()):
        claims(store, saga_id, "flight", Operation.COMPENSATION)
        concludes(store, saga_id, "flight", result, Operation.COMPENSATION)
    steps, history = halves(output_of(run_saga("show", "T-1")))
    assert "not now" not in steps
    assert "OSError: no route" in steps
    assert "OSError: not now" in history


def test_a_history_that_spans_days_shows_the_dates(run_saga: Run, store: Store) -> None:
    saga_id = turned_back(store)
    _, history = halves(output_of(run_saga("show", "T-1")))
    day = f"{saga_row(store.database, saga_id).started_at:%Y-%m-%d}"
    assert day not in history
    yesterday = update(t.history).where(t.history.c.event == "STARTED")
    store.database.write(lambda c: c.execute(yesterday.values(at=before_now(86_400))))
    _, history = halves(output_of(run_saga("show", "T-1")))
    assert day in history


def halves(shown: str) -> tuple[str, str]:
    """Return the steps and the history of a saga as they are shown."""
    steps, history = shown.split("at (UTC)")
    return steps, history


def test_a_saga_as_json_has_its_steps_and_its_history(run_saga: Run, store: Store) -> None:
    turned_back(store)
    (shown,) = json_of(run_saga("show", "T-1", "--json"))
    assert shown["saga"]["status"] == "COMPENSATED"
    assert [step["status"] for step in shown["steps"]] == ["COMPENSATED", "FAILED"]
    assert shown["history"][0]["event"] == "STARTED"
    assert shown["history"][-1]["event"] == "COMPENSATED"


def test_a_parked_saga_shows_what_is_left(run_saga: Run, store: Store) -> None:
    saga_id = parked(store)
    shown = output_of(run_saga("show", "T-1"))
    reason = "What these steps did, or may have done, is not undone: flight."
    assert f"parked: {reason}" in shown
    assert "next: repair the cause, then `sagas retry` it" in shown
    assert reason in output_of(run_saga("list"))
    (as_json,) = json_of(run_saga("show", str(saga_id), "--json"))
    left = as_json["saga"]["parked"]
    assert left == {"reason": reason, "steps": ["flight"], "operation": "compensation"}


def test_sagas_of_two_names_with_the_same_key_are_both_shown(run_saga: Run, store: Store) -> None:
    started(store, "ORD-1")
    json_of(run_saga("start", "shop.order", "-", "--key", "ORD-1", "--json", input="{}"))
    shown = json_of(run_saga("show", "ORD-1", "--json"))
    assert {detail["saga"]["name"] for detail in shown} == {"trip", "shop.order"}


@pytest.mark.parametrize("word", ["X-9", "00000000-0000-0000-0000-000000000000"])
def test_an_unknown_saga_is_an_error(word: str, run_saga: Run) -> None:
    expected = f"Error: The record has no saga with the id or the key '{word}'.\n"
    assert error_of(run_saga("show", word)) == expected


@pytest.mark.parametrize(
    "error", ["[/red]", "[bold]seat[/bold]", "a\nb", "\x1b[31mred", "[link=x]"]
)
def test_an_error_of_a_step_cannot_garble_the_output(
    error: str, run_saga: Run, store: Store
) -> None:
    saga_id = started(store, error if error.isprintable() else "T-1")
    claims(store, saga_id, "flight", hostname="[red]one@here")
    refused = type(REFUSED)({"type": "StepFailed", "message": error, "code": None})
    concludes(store, saga_id, "flight", refused)
    for shown in (output_of(run_saga("show", str(saga_id))), output_of(run_saga("list"))):
        assert error.partition("\n")[0].replace("\x1b", "") in shown
        assert "\x1b" not in shown


# Start.


def test_a_saga_is_started_with_the_input_in_a_file(
    run_saga: Run, database: Database, tmp_path: Path
) -> None:
    file = tmp_path / "order.json"
    file.write_text('{"id": "ORD-1", "total": "1.10"}')
    shown = output_of(run_saga("start", "shop.order", str(file), "--key", "ORD-1"))
    assert "STARTED" in shown
    handle = order_saga.get(key="ORD-1")
    assert str(handle.id) in shown
    assert '"total":"1.10"' in saga_row(database, handle.id).input


def test_a_saga_is_started_with_the_input_on_stdin(run_saga: Run) -> None:
    (shown,) = json_of(run_saga("start", "shop.order", "-", "--json", input="{}"))
    assert shown["status"] == "STARTED"
    assert shown["key"] == shown["id"]


def test_many_sagas_are_started_with_an_array_of_inputs(run_saga: Run) -> None:
    text = json.dumps([{"id": f"ORD-{number}"} for number in range(3)])
    words = ("start", "shop.order", "-", "--key-field", "id", "--json")
    first, again = (json_of(run_saga(*words, input=text)) for _ in range(2))
    assert [saga["key"] for saga in first] == ["ORD-0", "ORD-1", "ORD-2"]
    assert again == first


def test_a_saga_is_started_once_when_the_reply_to_its_commit_is_lost(
    run_saga: Run, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[object] = []
    once = Database._once  # noqa: SLF001

    def loses_one(self: Database, begin: str, work: Callable[[Connection], Any]) -> Any:
        done = once(self, begin, work)
        if begin == "IMMEDIATE" and not lost:
            lost.append(done)
            raise OperationalError("COMMIT", {}, Exception("gone"), connection_invalidated=True)
        return done

    monkeypatch.setattr(Database, "_once", loses_one)
    output_of(run_saga("start", "shop.order", "-", input="{}"))
    assert lost
    assert len(store.database.read(queries.find_sagas)) == 1


def test_one_invalid_input_keeps_all_the_others_from_starting(run_saga: Run) -> None:
    # Without keys, correcting the file and running it again would start the first saga twice.
    text = '[{"id": "ORD-1"}, {"id": "ORD-2", "total": "much"}]'
    message = error_of(run_saga("start", "shop.order", "-", input=text))
    assert "total: Input should be a valid decimal" in message
    assert "much" not in message
    assert json_of(run_saga("list", "--json")) == []


@pytest.mark.parametrize(
    ("words", "text", "message"),
    [
        (("nothing", "-"), "{}", "This application defines no saga 'nothing'. It defines: "),
        (("shop.order", "-"), '{"total": "x"}', "Order is not valid: total: Input should be a"),
        (("shop.order", "-"), "{", "is not JSON"),
        (("shop.order", "-"), "", "is not JSON"),
        (("shop.order", "-"), '"text"', "Order is not valid"),
        (("shop.order", "-", "--key-field", "no"), "{}", "has no field 'no'"),
        (("shop.order", "-", "--key-field", "id"), "[3]", "has no field 'id'"),
        (("shop.order", "-", "--key", "a\nb"), "{}", "1 to 200 printable characters"),
    ],
)
def test_a_start_that_fails_is_an_error_in_one_line(
    words: tuple[str, ...], text: str, message: str, run_saga: Run
) -> None:
    error = error_of(run_saga("start", *words, input=text))
    assert error.startswith("Error: ")
    assert message in error
    assert json_of(run_saga("list", "--json")) == []


def test_a_key_that_is_taken_is_an_error(run_saga: Run) -> None:
    words = ("start", "shop.order", "-", "--key", "ORD-1")
    output_of(run_saga(*words, input="{}"))
    error = error_of(run_saga(*words, input='{"total": "9"}'))
    assert "Saga 'shop.order' with key 'ORD-1' exists already" in error


# The database.


def test_a_record_is_created_only_once(cli: Callable[[str], Run], blank_database_url: str) -> None:
    run_saga = cli(blank_database_url)
    assert "sagas -A <your app> db upgrade" in error_of(run_saga("list"))
    for _ in range(2):
        assert f"is at revision {head_revision()}." in output_of(run_saga("db", "upgrade"))
    assert output_of(run_saga("list")) == "No sagas match.\n"


def test_no_message_shows_the_password_of_the_database(cli: Callable[[str], Run]) -> None:
    run_saga = cli("postgresql+psycopg://me:hunter2@127.0.0.1:1/x")
    for words in (("list",), ("db", "upgrade")):
        error = error_of(run_saga(*words))
        assert "hunter2" not in error
        assert error.startswith("Error: The record's database refused: ")


def test_a_missing_database_setting_is_an_error(cli: Callable[[str | None], Run]) -> None:
    assert "saga_database_url is not set" in error_of(cli(None)("list"))


# The usage.


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("list", "--status", "DONE"), "'DONE' is not one of 'started', 'in_progress'"),
        (("list", "--limit", "0"), "0 is not in the range 1<=x<=1000000"),
        (("show",), "Missing argument 'ID-or-KEY'"),
        (("start", "shop.order"), "Missing argument 'FILE'"),
        (("start", "shop.order", "/no/such/file"), "No such file or directory"),
        (("dance",), "No such command 'dance'"),
        (("start", "shop.order", "-", "--key", "x"), "--key is for one saga"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_wrong_usage_exits_with_code_2(words: tuple[str, ...], message: str, run_saga: Run) -> None:
    # Versions of click differ in the case of the choices they name.
    shown = error_of(run_saga(*words, input="[{}, {}]"), exit_code=2)
    assert message.lower() in shown.lower()


def test_an_app_must_be_named(run_saga: Run) -> None:
    error = error_of(run_saga("list", app=None), exit_code=2)
    assert "Name the Celery app: sagas -A yourapp" in error


def test_an_app_may_be_named_by_the_environment(
    run_saga: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELERY_APP", APP)
    assert output_of(run_saga("list", app=None)) == "No sagas match.\n"


@pytest.mark.parametrize("app", ["no_such_module", f"{APP}:nothing", "tests.support.records"])
def test_an_app_that_cannot_be_found_exits_with_code_2(app: str, run_saga: Run) -> None:
    error = error_of(run_saga("list", app=app), exit_code=2)
    assert f"The Celery app '{app}' cannot be imported" in error
    assert "Run the command where its module can be found." in error


def test_an_app_that_was_not_set_up_gets_instructions(run_saga: Run, tmp_path: Path) -> None:
    (tmp_path / "bare_app.py").write_text(
        "from celery import Celery\napp = Celery('bare', set_as_current=False)\n"
    )
    sys.path.insert(0, str(tmp_path))  # the fixture restores it
    assert "Call sagas.setup(app) once" in error_of(run_saga("list", app="bare_app"))


@pytest.mark.parametrize("words", [("--help",), ("list", "--help"), ("db", "--help")], ids=" ".join)
def test_every_command_explains_itself(words: tuple[str, ...], run_saga: Run) -> None:
    shown = output_of(run_saga(*words))
    assert "Usage: " in shown


def test_the_version_is_that_of_the_package(run_saga: Run) -> None:
    assert output_of(run_saga("--version", app=None)).startswith("celery-sagas, version 0.")


def test_the_same_commands_are_available_in_celery(store: Store, database_url: str) -> None:
    saga_id = turned_back(store)
    command = [sys.executable, "-m", "celery", "-A", APP, "saga", "list", "--json"]
    shown = subprocess.run(
        command,
        env={"CLI_DATABASE_URL": database_url, "PATH": "", "PYTHONPATH": str(Path.cwd())},
        check=True,
        capture_output=True,
        text=True,
    )
    assert [saga["id"] for saga in json.loads(shown.stdout)] == [str(saga_id)]


def test_a_step_that_succeeded_shows_no_error(run_saga: Run, store: Store) -> None:
    saga_id = started(store)
    claims(store, saga_id, "flight")
    concludes(store, saga_id, "flight", Succeeded('"LH 1"'))
    (shown,) = json_of(run_saga("show", str(saga_id), "--json"))
    assert shown["steps"][0]["error"] is None
    assert shown["steps"][0]["output"] == "LH 1"
