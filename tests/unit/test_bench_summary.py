import pytest

from benchmarks.speed.summary import Spread, percentile, ratios, spread, values

ROUNDS = [
    {"chain": {"sagas_s": 200.0}, "ours": {"sagas_s": 50.0, "commits": 9.0}},
    {"chain": {"sagas_s": 100.0}, "ours": {"sagas_s": 40.0}},
    {"chain": {"sagas_s": 0.0}, "ours": {"sagas_s": 30.0}},
    {"ours": {"sagas_s": 20.0}},
]


@pytest.mark.parametrize(
    ("share", "expected"), [(0.01, 1), (0.5, 50), (0.99, 99), (0.991, 100), (1, 100)]
)
def test_a_percentile_is_the_smallest_that_the_share_does_not_exceed(
    share: float, expected: int
) -> None:
    assert percentile(range(100, 0, -1), share) == expected


def test_the_percentile_of_one_number_is_that_number() -> None:
    assert percentile([7.0], 0.5) == percentile([7.0], 0.99) == 7.0


@pytest.mark.parametrize(("numbers", "share"), [([], 0.5), ([1.0], 0), ([1.0], 1.1)])
def test_there_is_no_percentile_of_nothing(numbers: list[float], share: float) -> None:
    with pytest.raises(ValueError, match="no percentile"):
        percentile(numbers, share)


def test_the_median_of_an_even_number_of_rounds_lies_between_two() -> None:
    assert spread([4.0, 1.0, 3.0, 2.0]) == Spread(1.0, 2.5, 4.0)
    assert spread([]) is None


def test_a_round_without_the_figure_is_left_out() -> None:
    assert values(ROUNDS, "ours", "commits") == [9.0]
    assert values(ROUNDS, "nobody", "commits") == []


def test_a_ratio_is_to_the_chain_of_the_same_round() -> None:
    # Of the medians it would be 35 / 100; and no round without a chain that ran counts.
    assert ratios(ROUNDS, "ours", "sagas_s", to="chain") == [0.25, 0.4]


def test_the_chain_is_its_own_measure() -> None:
    assert ratios(ROUNDS, "chain", "sagas_s", to="chain") == [1.0, 1.0]
