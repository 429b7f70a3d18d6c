"""Secrets in payloads: in the clear for steps, marked in the record, stars for everybody else."""

from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    Secret,
    SecretBytes,
    SecretStr,
    computed_field,
    field_serializer,
    model_serializer,
)
from typing_extensions import TypedDict

from sagas.errors import StepFailed
from sagas.payload import Payload, describe_error
from sagas.secret import STARS, mask, scrub, secrets_in
from sagas.worker.error_report import describe_attempt_error, safe_to_log

CANARY = "canary-5a7c"
HIDDEN = SecretStr(CANARY)


class Card(BaseModel):
    number: SecretStr = HIDDEN
    pin: SecretBytes = SecretBytes(CANARY.encode())
    name: str = "Ann"


class Deep(BaseModel):
    card: Card = Card()
    cards: list[Card] = [Card(), Card(name="Bob")]
    by_name: dict[str, SecretStr] = {"a": HIDDEN}
    by_day: dict[date, SecretStr] = {date(2026, 1, 1): HIDDEN}
    maybe: SecretStr | None = HIDDEN
    nothing: SecretStr | None = None
    either: int | SecretStr = HIDDEN
    pair: tuple[SecretStr, int] = (HIDDEN, 1)
    several: frozenset[SecretStr] = frozenset({HIDDEN})


class ByAlias(BaseModel):
    token: SecretStr = Field(alias="accessToken")


class WrittenByAlias(BaseModel):
    model_config = ConfigDict(serialize_by_alias=True)
    token: SecretStr = Field(alias="accessToken")


class ReadByAlias(BaseModel):
    token: SecretStr = Field(validation_alias="accessToken")


class Bare(BaseModel):
    """Writes its secret in the clear, in JSON only: as pydantic's documentation shows it."""

    token: SecretStr = HIDDEN

    @field_serializer("token", when_used="json")
    def in_the_clear(self, token: SecretStr) -> str:
        return token.get_secret_value()


class BareEverywhere(BaseModel):
    token: SecretStr = HIDDEN
    name: str = "Ann"

    @field_serializer("token")
    def in_the_clear(self, token: SecretStr) -> str:
        return token.get_secret_value()


class Whole(BaseModel):
    token: SecretStr = HIDDEN
    name: str = "Ann"

    @model_serializer
    def as_it_likes(self) -> dict[str, Any]:
        return {"name": self.name, "token": self.token.get_secret_value()}


class Reordered(BaseModel):
    """Writes JSON in another order than Python."""

    token: SecretStr = HIDDEN
    number: int = 7

    @model_serializer(mode="wrap")
    def reordered(self, handler: Any, info: Any) -> dict[str, Any]:
        written: dict[str, Any] = handler(self)
        return dict(reversed(written.items())) if info.mode == "json" else written


class Computed(BaseModel):
    token: SecretStr = HIDDEN

    @computed_field  # type: ignore[prop-decorator]  # as pydantic's documentation says
    @property
    def again(self) -> str:
        return self.token.get_secret_value()


@dataclass
class Login:
    password: SecretStr


class Token(TypedDict):
    value: SecretStr


class Rooted(RootModel[SecretStr]):
    pass


class Tree(BaseModel):
    secret: SecretStr = HIDDEN
    children: "list[Tree]" = []


KEPT: list[tuple[Any, Any]] = [
    (SecretStr, HIDDEN),
    (SecretBytes, SecretBytes(CANARY.encode())),
    (SecretStr, SecretStr("")),
    (SecretStr, SecretStr(STARS)),
    (Secret[int], Secret[int](4711)),
    (Secret[date], Secret[date](date(2026, 1, 1))),
    (Secret[str], Secret[str](CANARY)),
    (SecretStr | None, HIDDEN),
    (SecretStr | None, None),
    (list[SecretStr] | dict[str, SecretStr], {"a": HIDDEN}),
    (Annotated[list[SecretStr], Field(min_length=1)], [HIDDEN, HIDDEN]),
    (Card, Card()),
    (Deep, Deep()),
    (ByAlias, ByAlias(accessToken=HIDDEN)),
    (WrittenByAlias, WrittenByAlias(accessToken=HIDDEN)),
    (ReadByAlias, ReadByAlias.model_validate({"accessToken": CANARY})),
    (Bare, Bare()),
    (BareEverywhere, BareEverywhere()),
    (Whole, Whole()),
    (Reordered, Reordered()),
    (Computed, Computed()),
    (Login, Login(HIDDEN)),
    (Token, {"value": HIDDEN}),
    (Rooted, Rooted(HIDDEN)),
    (Tree, Tree(children=[Tree(), Tree(children=[Tree()])])),
]


@pytest.mark.parametrize(("annotation", "value"), KEPT, ids=range(len(KEPT)))
def test_a_secret_is_kept_for_the_step_and_hidden_from_everybody_else(
    annotation: Any, value: Any
) -> None:
    payload = Payload(annotation)
    text = payload.dump(value)
    assert payload.load(text) == value
    shown = mask(text)
    assert shown is not None
    assert CANARY not in shown
    assert payload.same(text, payload.dump(value))
    if CANARY in text:
        assert secrets_in(text) == {CANARY}
        assert STARS in shown


def test_a_value_that_is_not_secret_stays_readable() -> None:
    shown = mask(Payload(Deep).dump(Deep()))
    assert shown is not None
    assert '"name":"Bob"' in shown
    assert mask(None) is None
    assert mask('{"name":"Ann"}') == '{"name":"Ann"}'


@given(st.text(), st.text(), st.binary().filter(lambda b: b.isascii()))
def test_any_secret_text_survives_the_round_trip_and_none_of_it_shows(
    number: str, name: str, pin: bytes
) -> None:
    payload = Payload(Card)
    card = Card(number=SecretStr(number), pin=SecretBytes(pin), name=name)
    text = payload.dump(card)
    assert payload.load(text) == card
    shown = mask(text)
    assert shown is not None
    assert Payload(dict[str, str]).load(shown)["number"] in (STARS, "")


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Any, {"token": HIDDEN}),
        (dict[str, Any], {"tokens": [HIDDEN]}),
        (dict[SecretStr, int], {HIDDEN: 1}),
    ],
    ids=["anything", "a dict of anything", "a key"],
)
def test_a_secret_that_would_be_lost_in_transit_is_refused(annotation: Any, value: Any) -> None:
    with pytest.raises(ValueError, match="Declare its field as SecretStr") as raised:
        Payload(annotation).dump(value)
    assert CANARY not in str(raised.value)


class Loose(BaseModel):
    token: SecretStr = HIDDEN
    more: Any = None


def test_the_mark_of_secrets_cannot_be_forged_by_a_payload() -> None:
    with pytest.raises(ValueError, match="reserved"):
        Payload(Loose).dump(Loose(more={"$secret": {"role": "admin"}}))
    innocent = {"$secret": "x"}
    payload = Payload(dict[str, str])
    assert payload.load(payload.dump(innocent)) == innocent


def test_stars_that_are_not_a_secret_are_plain_text() -> None:
    payload = Payload(Loose)
    assert payload.load(payload.dump(Loose(more=[STARS]))).more == [STARS]
    assert Payload(str).load(Payload(str).dump(STARS)) == STARS


def test_bytes_that_are_not_text_are_refused() -> None:
    with pytest.raises(ValueError, match="utf-8"):
        Payload(SecretBytes).dump(SecretBytes(b"\xff\x00"))


AWKWARD = 'it\'s "quoted" \\ über\n50%/path'


@pytest.mark.parametrize(
    "text",
    [
        f"declined: {AWKWARD}",
        f"declined: {AWKWARD!r}",
        f"declined: {AWKWARD!a}",
        f"declined: {Payload(str).dump(AWKWARD)}",
        "GET /pay?card=it%27s%20%22quoted%22%20%5C%20%C3%BCber%0A50%25%2Fpath refused",
        "GET /pay?card=it%27s+%22quoted%22+%5C+%C3%BCber%0A50%25%2Fpath refused",
    ],
    ids=["plain", "repr", "ascii", "JSON", "URL", "form"],
)
def test_a_secret_is_scrubbed_however_it_is_quoted(text: str) -> None:
    clean = scrub(text, frozenset({AWKWARD, "quoted"}))
    assert STARS in clean
    assert "quoted" not in clean
    assert "50%" not in clean


def test_a_secret_is_scrubbed_before_the_message_is_cut() -> None:
    error = RuntimeError("x" * 1_995 + CANARY)
    assert CANARY[:3] not in describe_error(error, frozenset({CANARY}))


# Errors, for the record and for Celery.


def raised_by(error: Exception, cause: Exception | None = None) -> Exception:
    with pytest.raises(type(error)) as raised:
        raise error from cause
    return raised.value


def test_an_error_that_quotes_a_secret_is_recorded_without_it() -> None:
    found = describe_attempt_error(
        raised_by(OSError(f"no route for {CANARY}")), frozenset({CANARY})
    )
    assert (found["type"], found["message"]) == ("OSError", f"no route for {STARS}")
    assert "raised_by" in found["traceback"]
    assert CANARY not in str(found)


def test_an_error_of_a_saga_with_secrets_is_shown_without_them_and_without_its_causes() -> None:
    cause = ValueError(f"from within: {CANARY[:6]}…")
    error = raised_by(OSError(f"no route for {CANARY}"), cause)
    shown = safe_to_log(error, frozenset({CANARY}))
    assert str(shown) == f"OSError: no route for {STARS}"
    assert shown.__cause__ is shown.__context__ is None
    assert shown.__traceback__ is error.__traceback__


def test_a_refusal_is_still_a_refusal_when_it_is_shown() -> None:
    error = raised_by(StepFailed(f"{CANARY} is declined", code="DECLINED"))
    shown = safe_to_log(error, frozenset({CANARY}))
    assert isinstance(shown, StepFailed)
    assert (shown.message, shown.code) == (f"{STARS} is declined", "DECLINED")


def test_an_error_of_a_saga_without_secrets_is_shown_as_it_is() -> None:
    error = raised_by(OSError("no route"))
    assert safe_to_log(error, frozenset()) is error


def test_a_validation_error_is_never_shown_with_the_values_that_it_quotes() -> None:
    with pytest.raises(ValueError, match=CANARY) as raised:
        Payload(Card).dump({"name": [CANARY]})
    shown = safe_to_log(raised.value, frozenset())
    assert CANARY not in str(shown)
    assert "name: Input should be a valid string" in str(shown)
