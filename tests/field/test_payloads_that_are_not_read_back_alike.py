"""A value that its type does not read back alike is refused in time and blocks no undo."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum, StrEnum
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import pytest
from celery import Celery
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FutureDate,
    Json,
    PlainSerializer,
    SerializeAsAny,
    computed_field,
)
from sqlalchemy import update

from sagas import (
    CompensationContext,
    InvalidInput,
    Outcome,
    Retry,
    Saga,
    SagaStatus,
    Step,
    StepFailed,
    StepStatus,
    step,
)
from sagas.payload import NotReadAlike, Payload
from sagas.record import tables as t
from sagas.runtime.app import runtime_of
from tests.support.in_process import application, run_all, run_one

RETRY = Retry(max_attempts=3, wait_initial=0)


class Base(BaseModel):
    id: str = "1"


class Special(Base):
    extra_field: str = "x"


class Twin(Base):
    """The same fields as its base class."""


class Holder(BaseModel):
    held: Base


class Either(BaseModel):
    one: Base | Twin


class Excluded(BaseModel):
    token: str = Field(default="", exclude=True)


class Growing(BaseModel):
    count: Annotated[int, AfterValidator(lambda value: value + 1)]


class Rounded(BaseModel):
    sum: Annotated[Decimal, PlainSerializer(lambda value: round(value, 1))]


class Texts(BaseModel):
    when: str | Decimal


class Colour(StrEnum):
    RED = "red"


class Kind(Enum):
    A = 1


class Shade(BaseModel):
    colour: Colour | str


@dataclass
class Place:
    name: str
    floor: int = field(default=0, init=False)


class Anything(BaseModel):
    held: SerializeAsAny[Base]


PLACE = Place("Rome")
PLACE.floor = 3


class Flattered(BaseModel):
    """Claims to be equal to everything."""

    kept: str = ""
    left_out: str = Field(default="", exclude=True)

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("declared", "value", "named"),
    [
        (Base, Special(), "Base is read back .*Special comes back as a Base"),
        (Holder, Holder(held=Special()), "Holder .*held: a Special comes back as a Base"),
        (Anything, Anything(held=Special()), "held: a Special"),
        (dict[str, list[Base]], {"a": [Base(), Special()]}, r"a\.1: a Special"),
        (Either, Either(one=Twin()), "one: a Twin comes back as a Base"),
        (Excluded, Excluded(token="t"), "Excluded .*token"),  # noqa: S106
        (Growing, Growing(count=1), "Growing .*count"),
        (Rounded, Rounded(sum=Decimal("1.25")), "Rounded .*sum"),
        (Texts, Texts(when=Decimal("1.10")), "when: a Decimal comes back as a str"),
        (Shade, Shade(colour=Colour.RED), "colour: a Colour comes back as a str"),
        (Place, PLACE, "Place .*floor"),
        (dict[Kind, int], {Kind.A: 1}, "cannot be read back"),
        (Flattered, Flattered(left_out="x"), "Flattered .*left_out"),
    ],
    ids=str,
)
def test_a_value_that_would_come_back_changed_is_refused_and_the_field_is_named(
    declared: Any, value: Any, named: str
) -> None:
    with pytest.raises(NotReadAlike, match=named):
        Payload(declared).dump(value)


class Computed(BaseModel, extra="forbid"):
    net: Decimal = Decimal("1.10")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def gross(self) -> Decimal:
        return self.net * 2


class Raw(BaseModel):
    body: Json[dict[str, int]] = Field(default='{"a":1}', validate_default=True)


class Aliased(BaseModel):
    model_config = ConfigDict(serialize_by_alias=True, extra="forbid")
    class_: str = Field(default="x", validation_alias="klasse", serialization_alias="class")


class Open(BaseModel, extra="allow"):
    held: Any = None
    bare: dict = {}  # type: ignore[type-arg]


OPEN = {"held": Decimal("1.10"), "bare": {1: (1, 2)}, "more": UUID(int=1)}


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        (Computed, Computed()),
        (Raw, Raw()),
        (Aliased, Aliased()),
        (Excluded, Excluded()),
        (
            Open,
            Open.model_validate(
                {"held": Decimal("1.10"), "bare": {1: (1, 2)}, "more": UUID(int=1)}
            ),
        ),
        (dict[Colour, set[Decimal]], {Colour.RED: {Decimal(1), Decimal(2)}}),
        (datetime, datetime(2026, 3, 1, tzinfo=UTC)),
        (Any, Special()),
        (tuple[int, str] | None, (1, "x")),
    ],
    ids=str,
)
def test_a_value_that_comes_back_unchanged_is_accepted(declared: Any, value: Any) -> None:
    payload = Payload(declared)
    text = payload.dump(value)
    assert payload.same(payload.dump(payload.load(text)), text)


@dataclass
class Shop:
    """What happened at the participants, and how they behave."""

    done: list[str] = field(default_factory=list)
    undone: list[Any] = field(default_factory=list)
    again: Any = None


shop = Shop()


class Receipt(BaseModel, extra="forbid"):
    no: str
    provider: str = "new"


class Order(BaseModel):
    id: str = "1"
    by: FutureDate = Field(default_factory=lambda: date.today() + timedelta(days=3))  # noqa: DTZ011
    returns: str = ""


class Unreadable(BaseModel):
    n: Annotated[int, AfterValidator(lambda value: value + 1)] = 1


@step(name="alike.pay", retry=RETRY)
def pay(order: Order) -> Receipt:
    shop.done.append("pay")
    if order.returns == "special":
        special: type[Receipt] = type("Special", (Receipt,), {})
        return special(no="1")
    if order.returns == "nothing":
        nothing: Any = None
        return nothing  # type: ignore[no-any-return]
    return Receipt(no="1")


@pay.compensation(retry=RETRY)
def refund(order: Order, ctx: CompensationContext[Receipt]) -> int:
    shop.undone.append((order.id, order.by, ctx.outcome, ctx.output))
    if ctx.output is not None:
        shop.again = ctx.output_of(pay)
    undone: Any = "what an undo returns is kept nowhere"
    return undone  # type: ignore[no-any-return]


@step(name="alike.ship", retry=RETRY)
def ship(order: Order) -> None:  # noqa: ARG001 - the engine passes the input
    shop.done.append("ship")
    raise StepFailed("no carrier")


@ship.compensation
def unship(order: Order) -> None:  # noqa: ARG001 - likewise
    shop.undone.append("ship")


saga = Saga("alike.order", input=Order, steps=[pay, ship])
pivot_saga = Saga("alike.pivot", input=Order, steps=[Step(ship, pivot=True)])


@step(name="alike.look", read_only=True)
def look(order: Unreadable) -> None:
    """Look at it."""


odd_saga = Saga("alike.odd", input=Unreadable, steps=[look])


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Celery]:
    shop.done.clear()
    shop.undone.clear()
    with application(tmp_path) as made:
        yield made


def rewrite(app: Celery, table: Any, **values: Any) -> None:
    """Store what another version of the types would have written."""
    runtime_of(app).database.write(lambda c: c.execute(update(table).values(**values)))


@pytest.mark.usefixtures("app")
def test_a_start_is_refused_with_the_field_and_the_model() -> None:
    with pytest.raises(InvalidInput, match=r"alike\.odd.*Unreadable .*n: .*Nothing was started"):
        odd_saga.start(Unreadable(n=1))


@pytest.mark.parametrize("returns", ["special", "nothing"])
def test_an_output_that_cannot_be_read_back_is_final_and_undone(app: Celery, returns: str) -> None:
    handle = saga.start(Order(returns=returns))
    run_all(app)
    assert handle.status is SagaStatus.COMPENSATED
    assert shop.done == ["pay"]
    assert [undone[2:4] for undone in shop.undone] == [(Outcome.UNKNOWN, None)]
    error = handle.steps()[0].error
    assert error is not None
    assert error["type"] == "InvalidPayload"
    assert "alike.pay did its work, and its output cannot be recorded" in error["message"]


YESTERDAY = date(2020, 1, 1)


def test_an_undo_receives_what_can_still_be_read(app: Celery) -> None:
    handle = saga.start(Order())
    run_one(app)
    run_one(app)  # ship refuses: every action reads what is stored
    rewrite(app, t.saga, input='{"id":"1","by":"2020-01-01"}')
    rewrite(app, t.step, output='{"no":"1","old":true}')
    run_all(app)
    assert handle.status is SagaStatus.COMPENSATED
    ((order_id, by, outcome, output),) = shop.undone
    assert (order_id, by, outcome) == ("1", YESTERDAY, Outcome.SUCCESS)
    assert (output.no, output.provider) == ("1", "new")
    assert (shop.again.no, shop.again.provider) == ("1", "new")


def test_an_undo_of_an_output_of_another_type_receives_its_json(app: Celery) -> None:
    handle = saga.start(Order())
    run_one(app)
    run_one(app)
    rewrite(app, t.step, output='["R-1"]')
    run_all(app)
    assert handle.status is SagaStatus.COMPENSATED
    assert shop.undone[0][3] == ["R-1"]


def test_an_action_that_cannot_read_its_input_certainly_had_no_effect(app: Celery) -> None:
    handle = saga.start(Order())
    run_one(app)
    rewrite(app, t.saga, input='{"id":"1","by":"2020-01-01"}')
    run_all(app)
    assert handle.status is SagaStatus.COMPENSATED
    assert shop.done == ["pay"]
    paid, shipped = handle.steps()
    assert (paid.status, shipped.status) == (StepStatus.COMPENSATED, StepStatus.FAILED)
    failure = handle.describe().failure
    assert failure is not None
    assert failure["step"] == "alike.ship"
    assert failure["type"] == "InvalidPayload"
    assert "by: Date should be in the future" in failure["message"]
    assert len(shop.undone) == 1


def test_a_pivot_that_cannot_read_its_input_turns_back_too(app: Celery) -> None:
    handle = pivot_saga.start(Order())
    rewrite(app, t.saga, input="[]")
    run_all(app)
    assert handle.status is SagaStatus.COMPENSATED
    assert handle.steps()[0].status is StepStatus.FAILED


def test_a_lenient_read_returns_plain_json_when_nothing_fits() -> None:
    value, problem = Payload(int).load_or_salvage('"R-1"')
    assert value == "R-1"
    assert (
        problem == "int is not valid: value: Input should be a valid integer, unable to parse "
        "string as an integer"
    )
    assert Payload(int).load_or_salvage("4") == (4, None)
    assert json.loads(Payload(Order).dump(Order()))["id"] == "1"
