"""Commands that act: filters, dry runs, JSON; and the lists of plans and of workers."""

import json
from typing import Any
from uuid import UUID

import pytest

from sagas.cli import selection
from sagas.decision import Refused, Succeeded
from sagas.ids import uuid7
from sagas.record import workers
from sagas.record.database import Database
from sagas.record.store import Store
from sagas.record.workers import Heartbeat
from sagas.states import Operation
from tests.support.command_line import Run, error_of, json_of, on_terminal, output_of
from tests.support.records import (
    PLAN,
    claims,
    concludes,
    move,
    parked,
    saga_row,
    started,
    turned_back,
)


def stuck(store: Store, key: str, code: str | None) -> UUID:
    """Insert a parked saga whose undo was refused with this code."""
    saga_id = started(store, key, steps=PLAN.steps)
    claims(store, saga_id, "flight")
    concludes(store, saga_id, "flight", Succeeded('"LH 1"'))
    claims(store, saga_id, "hotel")
    full: Any = {"type": "StepFailed", "message": '"code": "CLOSED"', "code": "FULL"}
    concludes(store, saga_id, "hotel", Refused(full))
    move(store, saga_id)
    claims(store, saga_id, "flight", Operation.COMPENSATION)
    error: Any = {"type": "StepFailed", "message": "no", "code": code}
    concludes(store, saga_id, "flight", Refused(error), Operation.COMPENSATION)
    return saga_id


def statuses(store: Store, *ids: UUID) -> list[str]:
    return [saga_row(store.database, saga_id).status for saga_id in ids]


def test_parked_sagas_are_chosen_by_the_code_of_their_error(run_saga: Run, store: Store) -> None:
    one, two = stuck(store, "A", "CLOSED"), stuck(store, "B", "CLOSED")
    other, running = stuck(store, "C", "OTHER"), started(store, "D")
    words = ("retry", "--code", "CLOSED", "--note", "open again")
    assert statuses(store, one, two) == ["FAILED", "FAILED"]
    assert output_of(run_saga(*words)).count(": COMPENSATING\n") == 2
    assert statuses(store, one, two, other, running) == [
        *("COMPENSATING", "COMPENSATING", "FAILED", "STARTED")
    ]
    # A code is the whole code, and what turned the saga back counts as well.
    assert len(json_of(run_saga("list", "--code", "FULL", "--json"))) == 3
    assert json_of(run_saga("list", "--code", "CLOSE", "--json")) == []
    assert json_of(run_saga("list", "--code", "%", "--json")) == []


@pytest.mark.parametrize(
    ("words", "keys"),
    [
        (("retry", "--note", "…"), ["parked"]),
        (("resolve", "--note", "…"), ["parked"]),
        (("skip", "flight", "--note", "…"), ["parked"]),
        (("cancel", "--reason", "…"), ["running", "waiting"]),
    ],
)
def test_a_dry_run_says_which_sagas_would_be_acted_on_and_changes_nothing(
    run_saga: Run, store: Store, words: tuple[str, ...], keys: list[str]
) -> None:
    ids = [parked(store, "parked"), started(store, "waiting"), turned_back(store, "ended")]
    ids.append(started(store, "running"))
    claims(store, ids[-1], "flight")
    before = statuses(store, *ids)
    chosen = ("--name", "trip", "--younger-than", "1h")
    found = json_of(run_saga(*words, *chosen, "--dry-run", "--json"))
    assert sorted(saga["key"] for saga in found) == keys
    assert {(saga["done"], saga["error"]) for saga in found} == {(False, None)}
    shown = output_of(run_saga(*words, *chosen, "--dry-run"))
    count = f"{len(keys)} saga{'s' if len(keys) > 1 else ''}"
    assert f"A dry run: this would act on {count}. Nothing has changed." in shown
    assert statuses(store, *ids) == before
    done = json_of(run_saga(*words, *chosen, "--json"))
    assert sorted(saga["key"] for saga in done) == keys
    assert all(saga["done"] for saga in done)


def test_many_sagas_are_acted_on_page_by_page(
    run_saga: Run, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "PAGE", 2)
    ids = [parked(store, f"T-{number}") for number in range(5)]
    output_of(run_saga("resolve", "--name", "trip", "--note", "by hand"))
    assert set(statuses(store, *ids)) == {"COMPENSATED"}
    assert output_of(run_saga("resolve", "--name", "trip", "--note", "…")) == "No sagas match.\n"


def test_json_tells_which_sagas_were_refused_and_why(run_saga: Run, store: Store) -> None:
    done, refused = parked(store, "A"), turned_back(store, "B")
    result = run_saga("resolve", "A", "B", "nobody", "--note", "…", "--json")
    assert result.exit_code == 1
    first, second, third = json.loads(result.stdout)
    assert (first["id"], first["status"], first["done"]) == (str(done), "COMPENSATED", True)
    assert (second["id"], second["done"]) == (str(refused), False)
    assert "not parked (FAILED)" in second["error"]
    assert third["id"] is None
    assert "no saga with the id or the key 'nobody'" in third["error"]


@pytest.mark.parametrize("more", [(), ("T-1", "--name", "trip")])
def test_sagas_are_named_or_chosen_and_never_all_of_them(
    run_saga: Run, store: Store, more: tuple[str, ...]
) -> None:
    saga_id = started(store)
    message = error_of(run_saga("cancel", *more, "--reason", "…"), exit_code=2)
    assert "Name sagas by id or key, or choose them by filters" in message
    assert statuses(store, saga_id) == ["STARTED"]


def test_several_sagas_skip_the_same_step(run_saga: Run, store: Store) -> None:
    ids = [parked(store, "A"), parked(store, "B")]
    output_of(run_saga("skip", "A", "B", "flight", "--note", "by hand"))
    assert statuses(store, *ids) == ["COMPENSATED", "COMPENSATED"]


def test_the_plans_are_listed_with_the_number_of_their_sagas(run_saga: Run, store: Store) -> None:
    parked(store, "A")
    turned_back(store, "B")
    output_of(run_saga("start", "shop.order", "-", "--key", "C", input="{}"))
    found = {plan["name"]: plan for plan in json_of(run_saga("plans", "--json"))}
    order, trip = found["shop.order"], found["trip"]
    assert (order["defined"], order["running"]) == (True, 1)
    assert order["steps"] == ["shop.reserve", "shop.charge", "shop.notify"]
    assert (trip["defined"], trip["parked"], trip["ended"]) == (False, 1, 1)
    shown = on_terminal(run_saga, 80, "plans")
    assert max(map(len, shown.splitlines())) <= 80
    assert "shop.quiet" in shown
    assert "not defined by this application" in " ".join(shown.split())


def test_the_workers_are_listed_with_their_queues_and_heartbeats(
    run_saga: Run, database: Database
) -> None:
    assert "The record knows no worker." in output_of(run_saga("workers"))
    beat = Heartbeat(uuid7(), "one@there", 7, {}, ("payment", "mail"))
    database.write(lambda c: workers.write_heartbeat(c, beat))
    (found,) = json_of(run_saga("workers", "--json"))
    assert (found["hostname"], found["pid"]) == ("one@there", 7)
    assert found["queues"] == ["mail", "payment"]
    assert found["silent_s"] >= 0
    shown = on_terminal(run_saga, 80, "workers")
    assert max(map(len, shown.splitlines())) <= 80
    for word in ("one@there", "mail, payment", "s ago"):
        assert word in shown
