"""A probe that says only that it happened, and one that never answers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from pydantic import BaseModel

from sagas import (
    CompensationContext,
    Context,
    Outcome,
    OutputUnavailable,
    Retry,
    Saga,
    SagaStatus,
    StepFailed,
    StepStatus,
    step,
)
from tests.support.in_process import application, run_all

RETRY = Retry(max_attempts=2, wait_initial=0)


class Order(BaseModel):
    id: str = "1"


class Receipt(BaseModel):
    no: str


class Participant:
    """How it answers, and what it was asked to do."""

    answer: Any = True
    refuses: bool = False
    asked = 0

    def __init__(self) -> None:
        self.done: list[str] = []
        self.undone: list[Any] = []
        self.seen: list[Any] = []


here = Participant()


@step(name="probing.pay", retry=RETRY)
def pay(order: Order) -> Receipt:
    here.done.append(order.id)
    raise OSError("no reply")


@pay.compensation(retry=Retry(max_attempts=3, wait_initial=0))
def refund(order: Order, ctx: CompensationContext[Receipt]) -> None:  # noqa: ARG001
    here.undone.append((ctx.outcome, ctx.output))


@pay.probe
def find_payment(order: Order, ctx: Context) -> Any:  # noqa: ARG001
    here.asked += 1
    if isinstance(here.answer, Exception):
        raise here.answer
    return here.answer


@step(name="probing.ship", retry=RETRY)
def ship(order: Order, ctx: Context) -> None:  # noqa: ARG001
    try:
        here.seen.append(ctx.output_of(pay))
    except OutputUnavailable:
        here.seen.append("unknown")
    if here.refuses:
        raise StepFailed("no carrier")


@ship.compensation
def unship(order: Order) -> None:
    """Take it back."""


saga = Saga("probing.order", input=Order, steps=[pay, ship])


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Celery]:
    here.__init__()  # type: ignore[misc]
    here.answer, here.refuses, here.asked = True, False, 0
    with application(tmp_path) as made:
        yield made


def test_true_for_a_step_with_an_output_means_that_it_happened_with_an_unknown_output(
    app: Celery,
) -> None:
    handle = saga.start(Order())
    run_all(app)
    assert handle.status is SagaStatus.COMPLETED
    paid = handle.steps()[0]
    assert (paid.status, paid.output) == (StepStatus.SUCCESS, None)
    assert here.done == ["1"]
    assert here.seen == ["unknown"]


def test_the_undo_of_what_happened_with_an_unknown_output_knows_that_it_happened(
    app: Celery,
) -> None:
    here.refuses = True
    handle = saga.start(Order())
    run_all(app)
    assert handle.status is SagaStatus.COMPENSATED
    assert here.undone == [(Outcome.SUCCESS, None)]


@pytest.mark.parametrize("error", [OSError("away"), StepFailed("who asks?")], ids=["error", "no"])
def test_a_probe_that_keeps_raising_does_not_keep_the_undo_from_running(
    app: Celery, error: Exception
) -> None:
    here.answer = error
    handle = saga.start(Order())
    run_all(app)
    assert handle.status is SagaStatus.COMPENSATED
    assert here.undone == [(Outcome.UNKNOWN, None)]
    # Before the second attempt, as often on its own, and once more before the undo.
    assert (len(here.done), here.asked) in {(2, 4), (1, 4)}


def test_a_probe_whose_answer_cannot_be_recorded_says_that_it_happened(app: Celery) -> None:
    here.answer = ["no", "receipt"]
    handle = saga.start(Order())
    run_all(app)
    assert handle.status is SagaStatus.COMPENSATED
    assert here.done == ["1"]
    assert here.undone == [(Outcome.SUCCESS, None)]
