"""``sagas check`` reads the inputs and outputs of live sagas with the code at hand."""

import importlib
import json
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, SecretStr, field_validator
from sqlalchemy import update

from sagas import CompensationContext, Saga, step
from sagas.decision import Succeeded
from sagas.record import live
from sagas.record import tables as t
from sagas.record.starts import NewSaga, insert_sagas
from sagas.record.store import Store
from sagas.states import Operation, SagaStatus
from tests.support.command_line import APP, Run, output_of
from tests.support.records import ERRORED, REFUSED, claims, concludes, move, new_saga

CANARY = "canary-7c3e"


class Order(BaseModel):
    address: str
    country: str  # which older orders lack
    card: SecretStr = SecretStr("")
    lines: dict[str, int] = {}

    @field_validator("address")
    @classmethod
    def _is_short(cls, address: str) -> str:
        if len(address) > 100:
            raise ValueError(f"{address} is too long")
        return address


class Receipt(BaseModel):
    number: int
    currency: str  # which older receipts lack


@step(name="kept.pay")
def pay(order: Order) -> Receipt:
    return Receipt(number=len(order.address), currency="EUR")


@pay.compensation()
def refund(order: Order, ctx: CompensationContext[Receipt]) -> None: ...


@step(name="kept.ship")
def ship(order: Order) -> None: ...


@ship.compensation()
def unship(order: Order) -> None: ...


kept = Saga("kept.order", input=Order, steps=[pay, ship])

GOOD = {"address": CANARY, "country": "NL", "card": {"$secret": CANARY}}
OLD = {"address": CANARY, "card": {"$secret": CANARY}}


def started(store: Store, key: str, given: Any = GOOD) -> UUID:
    text = given if isinstance(given, str) else json.dumps(given)
    news: list[NewSaga] = [replace(new_saga(key, input=text), plan=kept.plan)]
    return store.database.write(lambda c: insert_sagas(c, store.plans, news, lease_s=3))[0]


def paid(store: Store, saga_id: UUID, receipt: Any) -> None:
    claims(store, saga_id, "kept.pay")
    concludes(store, saga_id, "kept.pay", Succeeded(json.dumps(receipt)))


def found(run: Run, *words: str) -> list[dict[str, Any]]:
    payloads: list[dict[str, Any]] = json.loads(run("check", "--json", *words).stdout)["payloads"]
    return payloads


def test_payloads_that_this_code_reads_are_no_problem(run_saga: Run, store: Store) -> None:
    started(store, "A")
    paid(store, started(store, "B"), {"number": 1, "currency": "EUR"})
    assert "Every live saga can be finished" in output_of(run_saga("check"))


def test_a_saga_whose_input_lacks_a_field_is_named_with_its_step_and_the_reason(
    run_saga: Run, store: Store
) -> None:
    saga_id = started(store, "ORD-1", OLD)
    started(store, "ORD-2")
    result = run_saga("check")
    assert result.exit_code == 1
    assert result.stdout == (
        "1 live saga of 'kept.order' cannot go on with this code. "
        "The action of step kept.pay cannot read the input:\n"
        "  country: Field required\n"
        f"  {saga_id}  ORD-1\n"
        "  Let the type accept what is stored: give a new field a default, keep a removed value. "
        "Or wait until these sagas have ended.\n"
    )


def test_the_step_that_is_named_is_the_first_that_has_still_to_run(
    run_saga: Run, store: Store
) -> None:
    saga_id = started(store, "A", OLD)
    paid(store, saga_id, {"number": 1, "currency": "EUR"})
    (problem,) = found(run_saga)
    assert (problem["step"], problem["operation"]) == ("kept.ship", "action")


def test_an_output_that_no_longer_fits_is_found(run_saga: Run, store: Store) -> None:
    paid(store, started(store, "A"), {"number": 1})
    (problem,) = found(run_saga)
    assert (problem["step"], problem["what"]) == ("kept.pay", "output")
    assert problem["reason"] == "currency: Field required"
    assert "The output of step kept.pay cannot be read" in run_saga("check").stdout


@pytest.mark.parametrize("ends", ["turns back", "is parked"])
def test_a_saga_that_turns_back_needs_its_compensations_only(
    run_saga: Run, store: Store, ends: str
) -> None:
    saga_id = started(store, "A", OLD)
    paid(store, saga_id, {"number": 1, "currency": "EUR"})
    claims(store, saga_id, "kept.ship")
    concludes(store, saga_id, "kept.ship", REFUSED)
    move(store, saga_id)
    if ends == "is parked":
        claims(store, saga_id, "kept.pay", Operation.COMPENSATION)
        concludes(store, saga_id, "kept.pay", REFUSED, Operation.COMPENSATION)
    (problem,) = found(run_saga)
    assert (problem["step"], problem["operation"]) == ("kept.pay", "compensation")
    assert "would get the input only in part" in run_saga("check").stdout


def test_a_saga_that_has_ended_is_not_read(run_saga: Run, store: Store) -> None:
    saga_id = started(store, "A", OLD)
    ended = update(t.saga).where(t.saga.c.id == saga_id).values(status=SagaStatus.COMPLETED)
    store.database.write(lambda c: c.execute(ended))
    assert run_saga("check").exit_code == 0


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("not JSON, but " + CANARY, "value"),
        ({**GOOD, "address": CANARY * 20}, "address: Value error"),
        ({**GOOD, "lines": {CANARY: "x"}}, "lines.*: Input should be a valid integer"),
        ([CANARY], "value: Input should be"),
        ({**GOOD, "card": {"$secret": [CANARY]}}, "card: Input should be a valid string"),
        ("null", "value: Input should be"),
    ],
)
def test_no_value_of_a_payload_is_printed(
    run_saga: Run, store: Store, given: Any, reason: str
) -> None:
    started(store, "A", given)
    for shown in (run_saga("check"), run_saga("check", "--json")):
        assert shown.exit_code == 1
        assert CANARY not in shown.output
        assert reason in shown.output or "reading it raises" in shown.output


def test_sagas_with_one_problem_are_counted_and_some_are_named(
    run_saga: Run, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "BATCH", 2)  # so that it takes several batches
    for number in range(7):
        started(store, f"ORD-{number}", OLD)
    (problem,) = found(run_saga)
    assert [saga["key"] for saga in problem["sagas"]] == [f"ORD-{n}" for n in range(7)]
    (problem,) = found(run_saga, "--limit", "2")
    assert (problem["count"], len(problem["sagas"])) == (7, 2)
    assert "and 5 more; --limit names more of them." in run_saga("check", "--limit", "2").stdout


def test_a_payload_with_many_problems_is_told_in_few_words(run_saga: Run, store: Store) -> None:
    started(store, "A", {**GOOD, "lines": {f"{CANARY}-{n}": "x" for n in range(1_000)}})
    (problem,) = found(run_saga)
    assert problem["reason"].startswith("lines.*: Input should be a valid integer")
    assert len(problem["reason"]) < 200


def test_a_payload_that_cannot_be_decoded_is_a_problem(run_saga: Run, store: Store) -> None:
    class Lost:
        def encode(self, text: str, /) -> str:
            return text

        def decode(self, text: str, /) -> str:
            raise LookupError(text)

    started(store, "A")
    importlib.import_module(APP).app.conf.saga_codec = Lost()
    (problem,) = found(run_saga)
    assert problem["reason"].startswith("saga_codec could not decode a payload")
    assert CANARY not in run_saga("check").output


def test_a_step_that_is_tried_again_needs_the_input(run_saga: Run, store: Store) -> None:
    saga_id = started(store, "A", OLD)
    claims(store, saga_id, "kept.pay")
    concludes(store, saga_id, "kept.pay", ERRORED)
    (problem,) = found(run_saga)
    assert (problem["step"], problem["operation"]) == ("kept.pay", "action")
