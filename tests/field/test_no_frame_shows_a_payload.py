"""What an error tracker sends: the ``repr`` of the locals of every frame, on every error path."""

import json
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, signals
from pydantic import BaseModel, SecretStr
from sqlalchemy import text, update

from sagas import CompensationContext, Context, Retry, Saga, StepFailed, step
from sagas.record import tables as t
from sagas.runtime.app import runtime_of
from tests.support.in_process import application, run_all

CANARY = "canary-9b1d"
RETRY = Retry(max_attempts=2, wait_initial=0)

#: The engine's own frames, and those of the libraries through which it carries payloads.
WATCHED = ("sagas", "sqlalchemy", "pydantic")


class Order(BaseModel):
    card: SecretStr = SecretStr(f"{CANARY}-card")
    address: str = f"{CANARY}-address"
    number: float = 1
    way: str = ""


@step(name="frames.pay", retry=RETRY)
def pay(order: Order) -> dict[str, str]:
    if order.way == "raises":
        raise OSError("no route")
    if order.way == "refuses":
        raise StepFailed("no")
    if order.way == "returns another type":
        nonsense: Any = [f"{CANARY}-output"]
        return nonsense  # type: ignore[no-any-return]
    if order.way == "returns too much":
        return {"a": f"{CANARY}-output" * 1_000}
    return {"receipt": f"{CANARY}-output"}


@pay.compensation(retry=RETRY)
def refund(order: Order, ctx: CompensationContext[dict[str, str]]) -> None:  # noqa: ARG001
    raise OSError("the undo fails too")


@step(name="frames.ship", retry=RETRY)
def ship(order: Order, ctx: Context) -> None:  # noqa: ARG001
    ctx.output_of(pay)
    raise StepFailed("no carrier")


@ship.compensation
def unship(order: Order) -> None:
    """Take it back."""


saga = Saga("frames.order", input=Order, steps=[pay, ship])


class Tracker:
    """Looks at the frames of errors, as an error tracker does."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self.errors: list[BaseException] = []
        self.frames = 0

    def look(self, error: BaseException | None) -> None:
        while error is not None and error not in self.errors:
            self.errors.append(error)
            entry = error.__traceback__
            while entry is not None:
                self._look_at(entry.tb_frame)
                entry = entry.tb_next
            self.look(error.__cause__)
            error = error.__context__

    def _look_at(self, frame: types.FrameType) -> None:
        module = str(frame.f_globals.get("__name__", ""))
        if module.partition(".")[0] not in WATCHED:
            return
        self.frames += 1
        for name, value in frame.f_locals.items():
            if CANARY in _shown(value):
                self.found.append(f"{module}.{frame.f_code.co_qualname}: {name}")


def _shown(value: Any) -> str:
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - what cannot be shown shows nothing
        return ""


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Celery]:
    with application(tmp_path) as made:
        yield made


@pytest.fixture
def tracker() -> Iterator[Tracker]:
    """Return one that sees every error that a task ends with."""
    made = Tracker()

    def note(exception: BaseException, **_: Any) -> None:
        made.look(exception)

    signals.task_failure.connect(note)
    yield made
    signals.task_failure.disconnect(note)
    assert made.found == []
    assert made.frames > 0
    made.errors.clear()


def drop_a_column(app: Celery) -> Celery:
    runtime_of(app).database.write(lambda c: c.execute(text("ALTER TABLE saga DROP COLUMN checks")))
    return app


def break_codec(app: Celery, *, what: str) -> Celery:
    class Broken:
        def encode(self, text: str, /) -> str:
            return self._code("encode", text)

        def decode(self, text: str, /) -> str:
            return self._code("decode", text)

        def _code(self, how: str, text: str) -> str:
            if how == what:
                raise LookupError("no key")
            return text

    runtime = runtime_of(app)
    app.conf.update(saga_codec=Broken())
    for name in ("settings", "payload_codec"):
        vars(runtime).pop(name, None)
    return app


def limit(app: Celery) -> Celery:
    app.conf.update(saga_payload_limit_bytes=20)
    for name in ("settings", "payload_codec"):
        vars(runtime_of(app)).pop(name, None)
    return app


def broken_order() -> Order:
    order = Order()
    order.number = f"{CANARY}-number"  # type: ignore[assignment]
    return order


ORDER = json.dumps({"card": CANARY, "address": CANARY, "number": 1})

STARTS: dict[str, Any] = {
    "not of its type": lambda _: saga.start({"address": CANARY, "number": CANARY}),  # type: ignore[arg-type]
    "broken": lambda _: saga.start(broken_order()),
    "not a number": lambda _: saga.start(Order(number=float("nan"))),
    "key": lambda _: saga.start(Order(), key=""),
    "delay": lambda _: saga.start(Order(), delay=1e12),
    "too large": lambda app: (limit(app), saga.start(Order())),
    "codec": lambda app: (break_codec(app, what="encode"), saga.start(Order())),
    "no column": lambda app: (drop_a_column(app), saga.start(Order())),
    "many": lambda app: (drop_a_column(app), saga.start_many([(Order(), None)] * 2)),
    "not pairs": lambda _: saga.start_many([Order()]),  # type: ignore[list-item]
    "json": lambda _: saga.start_json(json.dumps({"address": CANARY, "number": CANARY})),
    "no json": lambda _: saga.start_json(CANARY),
    "json, no column": lambda app: (drop_a_column(app), saga.start_json(ORDER)),
    "conflict": lambda _: (saga.start(Order(), key="K"), saga.start(Order(way="x"), key="K")),
    "many conflict": lambda _: (
        saga.start(Order(), key="K"),
        saga.start_many([(Order(way="x"), "K"), (Order(), "L")]),
    ),
}


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
def test_no_start_that_fails_shows_a_payload(app: Celery, tracker: Tracker, start: Any) -> None:
    with pytest.raises(Exception) as raised:  # noqa: PT011 - each has its own
        start(app)
    tracker.look(raised.value)


WAYS = ["raises", "refuses", "returns another type", "returns too much", ""]


@pytest.mark.usefixtures("tracker")
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way or "the next step refuses")
def test_no_attempt_that_fails_shows_a_payload(app: Celery, way: str) -> None:
    saga.start(Order(way=way))
    app.conf.update(saga_payload_limit_bytes=5_000)
    for name in ("settings", "payload_codec"):
        vars(runtime_of(app)).pop(name, None)
    run_all(app)


@pytest.mark.usefixtures("tracker")
@pytest.mark.parametrize("stored", ['["%s"]', '{"number":"%s"}', "%s"])
def test_no_input_that_cannot_be_read_shows(app: Celery, stored: str) -> None:
    saga.start(Order())
    unreadable = update(t.saga).values(input=stored % CANARY)
    runtime_of(app).database.write(lambda c: c.execute(unreadable))
    run_all(app)


def test_no_codec_that_fails_in_a_worker_shows_a_payload(app: Celery, tracker: Tracker) -> None:
    handle = saga.start(Order())
    break_codec(app, what="decode")
    run_all(app)
    break_codec(app, what="")
    runtime_of(app).database.write(
        lambda c: c.execute(update(t.step).values(output=f'"{CANARY}-output"'))
    )
    break_codec(app, what="decode")
    with pytest.raises(Exception) as raised:  # noqa: PT011 - a ConfigurationError
        handle.steps()
    tracker.look(raised.value)


def test_no_record_that_fails_under_an_attempt_shows_a_payload(
    app: Celery, tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    saga.start(Order())
    monkeypatch.setattr("sagas.record.writes.write_step", _fails)
    run_all(app)
    assert any(isinstance(error, ArithmeticError) for error in tracker.errors)


def _fails(*_: Any) -> None:
    raise ArithmeticError("in the middle of a commit")
