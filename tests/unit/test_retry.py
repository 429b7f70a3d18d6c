"""The retry policy."""

import math
import pickle
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagas import DefinitionError, Retry


def test_the_wait_grows_by_its_base_up_to_its_bound() -> None:
    retry = Retry(wait_initial=0.5, wait_exp_base=3, wait_max=10, wait_jitter=0)
    assert [retry.wait_s(attempt, 0.7) for attempt in range(1, 6)] == [0.5, 1.5, 4.5, 10, 10]


def test_durations_may_be_timedeltas() -> None:
    retry = Retry(wait_initial=timedelta(milliseconds=200), wait_max=timedelta(minutes=2))
    assert (retry.wait_initial, retry.wait_max) == (0.2, 120.0)
    assert retry == Retry(wait_initial=0.2, wait_max=120)


@pytest.mark.parametrize(("chance", "wait"), [(0.0, 8.0), (0.5, 6.0), (1.0, 4.0)])
def test_the_jitter_takes_away_a_random_share_of_the_wait(chance: float, wait: float) -> None:
    assert Retry(wait_initial=8, wait_jitter=0.5).wait_s(1, chance) == wait


def test_the_jitter_applies_to_the_bound_as_well() -> None:
    assert Retry(wait_initial=8, wait_max=4, wait_jitter=0.5).wait_s(1, 1.0) == 2.0


@given(
    attempt=st.integers(1, 10_000),
    chance=st.floats(0, 1),
    initial=st.floats(0, 1e6),
    bound=st.floats(0, 1e6),
    base=st.floats(1, 100),
    jitter=st.floats(0, 1),
)
def test_a_wait_is_never_negative_and_never_above_its_bound(
    attempt: int, chance: float, initial: float, bound: float, base: float, jitter: float
) -> None:
    retry = Retry(wait_initial=initial, wait_max=bound, wait_exp_base=base, wait_jitter=jitter)
    assert 0 <= retry.wait_s(attempt, chance) <= bound


@pytest.mark.parametrize(
    "options",
    [
        {"wait_exp_base": 1e6},
        {"wait_exp_base": 1e300},
        {"wait_initial": 1e300},
        {"wait_initial": 0},
    ],
    ids=str,
)
@pytest.mark.parametrize("attempt", [1, 2, 64, 1024, 100_000])
def test_no_policy_overflows_however_many_attempts_it_has(
    options: dict[str, Any], attempt: int
) -> None:
    retry = Retry(max_attempts=1_000_000, **options)
    assert 0 <= retry.wait_s(attempt, 0.5) <= 60


@pytest.mark.parametrize("bound", [math.inf, 1e300, timedelta.max], ids=str)
def test_the_record_can_hold_every_wait_that_a_policy_can_give(
    bound: float | timedelta,
) -> None:
    try:
        retry = Retry(max_attempts=10_000, wait_max=bound)
    except DefinitionError:
        return  # a refusal is just as good
    for attempt in (1, 64, 9_999):
        due_at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=retry.wait_s(attempt, 0))
        assert due_at.year < 10_000


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({"max_attempts": 0}, "max_attempts counts the first attempt too: give 1 or more"),
        ({"max_attempts": -1}, "max_attempts counts the first attempt too: give 1 or more"),
        ({"max_losses": 0}, "max_losses counts the last loss too: give 1 or more"),
        ({"wait_initial": -0.1}, "wait_initial is in seconds: give 0 or more"),
        ({"wait_initial": timedelta(-1)}, "wait_initial is in seconds: give 0 or more"),
        ({"wait_max": -1}, "wait_max is in seconds: give 0 or more"),
        ({"wait_exp_base": 0.99}, "wait_exp_base is the growth of the wait: give 1 or more"),
        (
            {"max_postponed": -1},
            "max_postponed is in seconds: give 0 or more, and a year at most",
        ),
        (
            {"max_postponed": timedelta(days=400)},
            "max_postponed is in seconds: give 0 or more, and a year at most",
        ),
        ({"wait_jitter": -0.1}, "wait_jitter is a share: give a value from 0 to 1"),
        ({"wait_jitter": 1.1}, "wait_jitter is a share: give a value from 0 to 1"),
    ],
    ids=str,
)
def test_a_value_out_of_range_is_refused_with_the_remedy(
    options: dict[str, Any], remedy: str
) -> None:
    with pytest.raises(DefinitionError) as raised:
        Retry(**options)
    assert str(raised.value).endswith(f": {remedy}.")
    assert f"{next(iter(options))}=" in str(raised.value)


@pytest.mark.parametrize(
    "name", ["wait_initial", "wait_max", "wait_exp_base", "wait_jitter", "max_postponed"]
)
def test_a_value_that_is_not_a_number_is_refused(name: str) -> None:
    options: dict[str, Any] = {name: math.nan}
    with pytest.raises(DefinitionError, match=name):
        Retry(**options)


@pytest.mark.parametrize("value", [2.5, "3", None], ids=str)
def test_a_number_of_attempts_that_is_not_whole_is_refused(value: Any) -> None:
    with pytest.raises(DefinitionError, match="max_attempts"):
        Retry(max_attempts=value)
    with pytest.raises(DefinitionError, match="max_losses"):
        Retry(max_losses=value)


@pytest.mark.parametrize(
    "options",
    [
        {"max_attempts": 1},
        {"max_losses": 1},
        {"wait_initial": 0, "wait_max": 0},
        {"max_postponed": 0},
        {"wait_exp_base": 1},
        {"wait_jitter": 0},
        {"wait_jitter": 1},
    ],
    ids=str,
)
def test_the_ends_of_each_range_are_allowed(options: dict[str, Any]) -> None:
    assert Retry(**options).wait_s(1, 0.5) >= 0


def test_a_policy_survives_pickling() -> None:
    retry = Retry(max_attempts=7, wait_initial=timedelta(seconds=1))
    assert pickle.loads(pickle.dumps(retry)) == retry  # noqa: S301
