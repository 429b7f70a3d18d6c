"""What an operator does to sagas on the command line."""

import getpass

from sagas.record.store import Store
from sagas.states import Operation
from tests.support.command_line import Run, error_of, json_of, output_of
from tests.support.records import (
    ERRORED,
    PLAN,
    claims,
    concludes,
    events,
    parked,
    saga_row,
    started,
    step_row,
    turned_back,
)
from tests.support.states import planned


def test_a_cancelled_saga_shows_who_cancelled_it_and_why(run_saga: Run, store: Store) -> None:
    saga_id = started(store)
    shown = output_of(run_saga("cancel", "T-1", "--reason", "the customer left", "--by", "alice"))
    assert shown == f"trip T-1 ({saga_id}): COMPENSATED\n"
    assert events(store.database, saga_id) == [
        "STARTED",
        "cancelled",
        "COMPENSATING",
        "COMPENSATED",
    ]
    history = output_of(run_saga("show", "T-1"))
    assert "operator alice" in history
    assert "the customer left" in history
    assert "because of: Cancelled: the customer left" in history


def test_the_operator_defaults_to_the_user_who_runs_the_command(
    run_saga: Run, store: Store
) -> None:
    started(store)
    output_of(run_saga("cancel", "T-1", "--reason", "…"))
    assert f"operator {getpass.getuser()}" in output_of(run_saga("show", "T-1"))


def test_sagas_that_cannot_be_cancelled_are_named_and_the_others_are_cancelled(
    run_saga: Run, store: Store
) -> None:
    plan = (planned("flight"), planned("hotel", pivot=True, undo=False))
    past = started(store, "past", steps=plan)
    claims(store, past, "flight")
    concludes(store, past, "flight", ERRORED)
    claims(store, past, "flight", token="second")  # noqa: S106 - it names an execution
    other = started(store, "other")
    parked(store, "parked")
    result = run_saga("cancel", "parked", "nobody", "other", "--reason", "…")
    assert result.exit_code == 1
    assert "Saga trip parked" in result.stderr
    assert "cannot be cancelled: it is parked: retry, skip or resolve it" in result.stderr
    assert "no saga with the id or the key 'nobody'" in result.stderr
    assert f"({other}): COMPENSATED" in result.stdout


def test_a_parked_saga_is_retried(run_saga: Run, store: Store) -> None:
    saga_id = parked(store)
    assert output_of(run_saga("retry", "T-1", "--note", "the desk is open")).endswith(
        ": COMPENSATING\n"
    )
    claims(store, saga_id, "flight", Operation.COMPENSATION, token="new")  # noqa: S106
    row = step_row(store.database, saga_id, "flight")
    assert row is not None
    assert row.compensation_attempt == 1
    assert "the desk is open" in output_of(run_saga("show", "T-1"))


def test_a_parked_saga_skips_the_step_where_it_is_stuck(run_saga: Run, store: Store) -> None:
    parked(store)
    assert "not at hotel" in error_of(run_saga("skip", "T-1", "hotel", "--note", "…"))
    assert output_of(run_saga("skip", "T-1", "flight", "--note", "by phone")).endswith(
        ": COMPENSATED\n"
    )
    (shown,) = json_of(run_saga("show", "T-1", "--json"))
    assert shown["steps"][0]["status"] == "SKIPPED"


def test_a_parked_saga_is_resolved_with_a_note(run_saga: Run, store: Store) -> None:
    saga_id = parked(store)
    shown = output_of(run_saga("resolve", "T-1", "--note", "refunded by hand", "--by", "bob"))
    assert shown == f"trip T-1 ({saga_id}): COMPENSATED\n"
    assert "resolved by bob: refunded by hand" in output_of(run_saga("show", "T-1"))
    resolved = saga_row(store.database, saga_id).resolved
    assert (resolved["by"], resolved["note"]) == ("bob", "refunded by hand")


def test_a_saga_is_resolved_as_the_operator_says(run_saga: Run, store: Store) -> None:
    parked(store)
    result = run_saga("resolve", "T-1", "--note", "…", "--as", "completed")
    assert output_of(result).endswith(": COMPLETED\n")


def test_only_a_parked_saga_can_be_resolved(run_saga: Run, store: Store) -> None:
    turned_back(store)
    result = run_saga("resolve", "T-1", "--note", "…")
    assert result.exit_code == 1
    assert "cannot be resolved: it is COMPENSATED, not parked (FAILED)." in result.stderr


def test_sagas_are_listed_by_age(run_saga: Run, store: Store) -> None:
    started(store)
    assert "T-1" in output_of(run_saga("list", "--younger-than", "1h"))
    assert "No sagas match" in output_of(run_saga("list", "--older-than", "1h"))
    result = run_saga("list", "--older-than", "soon")
    assert result.exit_code == 2
    assert "write 90s, 30m, 2h or 7d" in result.stderr


def test_the_statistics_count_sagas_by_name_and_status(run_saga: Run, store: Store) -> None:
    started(store, "one")
    turned_back(store, "two")
    parked(store, "three")
    figures = json_of(run_saga("stats", "--json"))
    assert figures["counts"] == {"trip": {"STARTED": 1, "COMPENSATED": 1, "FAILED": 1}}
    assert (figures["parked"], figures["workers"], figures["ended_last_hour"]) == (1, 0, 2)
    assert figures["p50_s"] >= 0
    shown = output_of(run_saga("stats"))
    assert "1 parked, need a person" in shown
    assert "0 workers, 0 sagas overdue" in shown


def test_a_plan_is_drawn_as_mermaid(run_saga: Run) -> None:
    drawn = output_of(run_saga("graph", "shop.order"))
    assert drawn.startswith("flowchart LR\n")
    assert '    s0 -.-> c0["shop.reserve.compensation"]' in drawn
    assert '    s2["shop.notify<br>best effort"]' in drawn
    assert "This application defines no saga 'nothing'" in error_of(run_saga("graph", "nothing"))


def test_live_sagas_that_the_code_cannot_finish_are_listed(run_saga: Run, store: Store) -> None:
    output_of(run_saga("start", "shop.order", "-", "--key", "ORD-1", input="{}"))
    assert "Every live saga can be finished" in output_of(run_saga("check"))
    strange = started(store, steps=PLAN.steps)  # none of its tasks is in a module of this process
    turned_back(store, "ended")
    result = run_saga("check")
    assert result.exit_code == 1
    assert "1 live saga of 'trip' cannot be finished by this code. It lacks:" in result.stdout
    assert "task hotel.undo" in result.stdout
    assert str(strange) in result.stdout
