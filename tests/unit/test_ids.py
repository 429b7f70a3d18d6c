"""Identifiers."""

import os
import time
import uuid
from functools import partial

import pytest

from sagas.ids import uuid7


def test_an_id_is_a_version_7_uuid_as_the_rfc_defines_it() -> None:
    for _ in range(64):  # random bits must not spill over the fixed ones
        made = uuid7()
        assert (made.version, made.variant) == (7, uuid.RFC_4122)


@pytest.mark.parametrize("random", [b"\x00" * 10, b"\xff" * 10])
def test_the_time_and_the_random_bits_stay_in_their_places(
    random: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "urandom", lambda number: random[:number])
    monkeypatch.setattr(time, "time_ns", lambda: 0x0123_4567_89AB * 1_000_000)
    bits = "0" if random[0] == 0 else "f"
    low = "8" if random[0] == 0 else "b"
    assert str(uuid7()) == f"01234567-89ab-7{bits * 3}-{low}{bits * 3}-{bits * 12}"


def test_an_id_shows_when_it_was_made() -> None:
    before = time.time_ns() // 1_000_000
    milliseconds = uuid7().int >> 80
    assert before <= milliseconds <= time.time_ns() // 1_000_000


def test_ids_sort_by_the_millisecond_in_which_they_were_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = []
    for milliseconds in (0, 1, 255, 256, 1_700_000_000_000, 1_700_000_000_001):
        with monkeypatch.context() as clock:
            clock.setattr(time, "time_ns", partial(int, milliseconds * 1_000_000))
            made.append(uuid7())
    assert made == sorted(made)
    assert [str(one) for one in made] == sorted(str(one) for one in made)
    assert [one.hex for one in made] == sorted(one.hex for one in made)  # as SQLite keeps them


def test_ids_made_at_the_same_moment_differ() -> None:
    assert len({uuid7() for _ in range(10_000)}) == 10_000
