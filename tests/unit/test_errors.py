"""The errors."""

import copy
import inspect
import math
import pickle
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

import sagas
from sagas import RetryAfter, SagaError, StepFailed, WaitTimeout, errors


def tree(root: type[SagaError] = SagaError) -> Iterator[type[SagaError]]:
    yield root
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from tree(child)


CLASSES = sorted(tree(), key=lambda cls: cls.__name__)


def same(one: BaseException, other: BaseException) -> bool:
    return (type(one), one.args, vars(one), str(one)) == (
        type(other),
        other.args,
        vars(other),
        str(other),
    )


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_survives_pickling(cls: type[SagaError], protocol: int) -> None:
    said = "Saga 1 says no: do this next."
    error = RetryAfter(8, said) if cls is RetryAfter else cls(said)
    assert same(pickle.loads(pickle.dumps(error, protocol)), error)  # noqa: S301
    assert same(copy.copy(error), error)


@pytest.mark.parametrize("code", ["CARD_DECLINED", None])
def test_a_refusal_keeps_its_code_and_its_message_through_pickling(code: str | None) -> None:
    error = pickle.loads(pickle.dumps(StepFailed("card declined", code=code)))  # noqa: S301
    assert isinstance(error, StepFailed)
    assert (error.message, error.code, str(error)) == ("card declined", code, "card declined")


class CardDeclined(StepFailed):
    """An application's own refusal."""


def test_an_applications_own_refusal_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(CardDeclined("no", code="N")))  # noqa: S301
    assert type(error) is CardDeclined
    assert error.code == "N"


@pytest.mark.parametrize("seconds", [8, 8.0, timedelta(seconds=8)], ids=str)
def test_a_wait_is_given_in_seconds_or_as_a_timedelta(seconds: float | timedelta) -> None:
    error = pickle.loads(pickle.dumps(RetryAfter(seconds)))  # noqa: S301
    assert (error.seconds, str(error)) == (8.0, "it asks to be called again in 8 s")


@pytest.mark.parametrize("value", ["8", "Wed, 21 Oct 2026 07:28:00 GMT", None, True, math.nan])
def test_what_is_no_wait_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="give seconds or a timedelta"):
        RetryAfter(value)


def test_the_tree_in_the_docstring_matches_the_classes() -> None:
    drawn = re.findall(r"^[│ ]*[├└]── (\w+)", errors.__doc__ or "", re.MULTILINE)
    assert sorted(["SagaError", *drawn]) == [cls.__name__ for cls in CLASSES]
    assert sorted(errors.__all__) == [cls.__name__ for cls in CLASSES]


def test_every_error_is_public() -> None:
    assert {cls.__name__ for cls in CLASSES} <= set(sagas.__all__)


def test_every_error_says_when_it_is_raised() -> None:
    assert all(inspect.getdoc(cls) for cls in CLASSES)


def test_a_saga_timeout_is_a_python_timeout_error() -> None:
    with pytest.raises(TimeoutError, match="still IN_PROGRESS"):
        raise WaitTimeout("Saga 1 is still IN_PROGRESS after 1 s.")
