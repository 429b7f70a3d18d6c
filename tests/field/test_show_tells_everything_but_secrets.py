"""``sagas show`` and the handle: input, outputs, errors with tracebacks, task ids; no secrets."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from click.testing import CliRunner, Result
from pydantic import BaseModel, SecretStr

from sagas import Retry, Saga, SagaHandle, SagaNotFound, StepFailed, step
from sagas.cli import saga
from sagas.ids import uuid7
from sagas.runtime.app import runtime_of
from tests.support.command_line import Run, on_terminal
from tests.support.in_process import application, run_all

CANARY = "canary-41f0"


class Order(BaseModel):
    guest: str = "Zoë"
    card: SecretStr = SecretStr(CANARY)
    breaks: bool = False


class Receipt(BaseModel):
    number: int
    token: SecretStr


@step(name="told.pay", retry=Retry(max_attempts=1))
def pay(order: Order) -> Receipt:  # noqa: ARG001
    return Receipt(number=7, token=SecretStr(f"{CANARY}-token"))


@pay.compensation(retry=Retry(max_attempts=1))
def refund(order: Order) -> None:  # noqa: ARG001
    raise OSError("no route to the bank")


@step(name="told.ship", retry=Retry(max_attempts=1))
def ship(order: Order) -> None:
    if order.breaks:
        raise LookupError(f"no carrier for {order.card.get_secret_value()}")
    raise StepFailed("no carrier", code="FULL")


@ship.compensation()
def unship(order: Order) -> None: ...


told = Saga("told.order", input=Order, steps=[pay, ship])


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Celery]:
    with application(tmp_path) as made:
        yield made


@pytest.fixture
def run(app: Celery) -> Run:
    """Return a function that runs a command of the app."""

    def invoke(*words: str, env: Mapping[str, str] | None = None, **_: Any) -> Result:
        return CliRunner().invoke(saga, words, obj=SimpleNamespace(app=app), env=env)

    return invoke


def ended(app: Celery, *, breaks: bool = False) -> SagaHandle:
    handle = told.start(Order(breaks=breaks), key="ORD-1")
    run_all(app)
    return handle


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_a_saga_is_shown_with_all_that_is_known(app: Celery, run: Run, width: int) -> None:
    handle = ended(app, breaks=True)
    shown = on_terminal(run, width, "show", "ORD-1")
    assert max(map(len, shown.splitlines())) <= width
    shown = " ".join(shown.split())  # lines wrap anywhere
    for step_view in handle.steps():
        assert step_view.task_id
        assert step_view.task_id in shown
    assert '"guest": "Zoë"' in shown
    assert '"number": 7' in shown
    assert "error: LookupError: no carrier for **********" in shown
    assert "error: OSError: no route to the bank" in shown
    # The tracebacks.
    assert "in ship" in shown
    assert "in refund" in shown
    assert CANARY not in shown


def test_a_refusal_is_shown_without_a_traceback(app: Celery, run: Run) -> None:
    ended(app)
    shown = on_terminal(run, 80, "show", "ORD-1")
    assert "error: FULL: no carrier" in shown
    assert "in ship" not in shown


def test_json_has_inputs_and_outputs_as_values(app: Celery, run: Run) -> None:
    ended(app)
    text = run("show", "ORD-1", "--json").stdout
    (found,) = json.loads(text)
    assert found["input"] == {"guest": "Zoë", "card": "**********", "breaks": False}
    assert found["steps"][0]["output"] == {"number": 7, "token": "**********"}
    assert found["steps"][1]["output"] is None
    assert found["steps"][0]["task_id"]
    assert "no route to the bank" in found["steps"][0]["compensation_error"]["message"]
    assert "in refund" in found["steps"][0]["compensation_error"]["traceback"]
    assert CANARY not in text


def test_a_handle_has_the_input_without_secrets(app: Celery) -> None:
    handle = ended(app)
    assert handle.input == {"guest": "Zoë", "card": "**********", "breaks": False}
    with pytest.raises(SagaNotFound):
        _ = SagaHandle(runtime_of(app), uuid7()).input


def test_a_large_input_is_cut_on_a_terminal_and_whole_in_json(run: Run) -> None:
    told.start(Order(guest="x" * 100_000), key="ORD-2")
    shown = on_terminal(run, 80, "show", "ORD-2")
    assert len(shown) < 10_000
    assert "(cut here; --json shows all of it)" in shown
    (found,) = json.loads(run("show", "ORD-2", "--json").stdout)
    assert len(found["input"]["guest"]) == 100_000


class Lost:
    """A codec whose key is gone."""

    def encode(self, text: str, /) -> str:
        return text

    def decode(self, text: str, /) -> str:
        raise LookupError(text)


def test_a_saga_whose_payloads_cannot_be_decoded_is_shown_without_them(
    app: Celery, run: Run
) -> None:
    ended(app)
    app.conf.saga_codec = Lost()
    for name in ("settings", "payload_codec"):
        vars(runtime_of(app)).pop(name, None)
    shown = on_terminal(run, 80, "show", "ORD-1")
    assert "saga_codec could not decode a payload of the record" in " ".join(shown.split())
    assert "error: FULL: no carrier" in shown
    assert CANARY not in shown
