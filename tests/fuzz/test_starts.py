"""A saga either runs to its end with exactly its input, or leaves no row."""

import json
import math
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from sagas import Saga, SagaError, SagaStatus, step
from sagas.cli import main
from sagas.record import tables as t
from tests.fuzz.effort import ANY_TEXT, JSON, effort
from tests.fuzz.world import World
from tests.support.records import count


class Anything(BaseModel):
    """An input of several types, one of them open."""

    text: str = ""
    number: int = 0
    amount: float | None = None
    more: Any = None


seen: list[Anything] = []


@step(name="fuzz.see")
def see(given: Anything) -> None:
    """Record the input."""
    seen.append(given)


see.compensation()(lambda given: None)  # noqa: ARG005
fuzzed = Saga("fuzzed", input=Anything, steps=[see])

KEYS = st.one_of(st.none(), ANY_TEXT, st.text(max_size=250), st.integers(), st.binary(max_size=3))
DEEP = st.integers(1, 3000).map(lambda depth: _deep(depth))  # noqa: PLW0108 - defined below
INPUTS = st.fixed_dictionaries(
    {},
    optional={
        "text": st.one_of(ANY_TEXT, st.just("x" * 2_000_000)),
        "number": st.one_of(st.integers(), st.integers(1, 5000).map(lambda digits: 10**digits)),
        "amount": st.floats(),
        "more": st.one_of(JSON, DEEP),
    },
)


def _deep(depth: int) -> Any:
    nested: Any = 1
    for _ in range(depth):
        nested = [nested]
    return nested


def _ends_with(world: World, given: Any, *handles: Any) -> None:
    seen.clear()
    world.driver.run_all()
    assert {handle.status for handle in handles} == {SagaStatus.COMPLETED}
    assert seen == [given] * len(handles)


def _says_why(error: Exception) -> None:
    if isinstance(error, SagaError):
        assert "fuzzed" in str(error)
        assert any(remedy in str(error) for remedy in ("Give", "Keep", "Use"))
        assert len(str(error)) < 2_000
        str(error).encode()


def test_a_saga_runs_to_its_end_with_exactly_its_input_or_leaves_no_row(world: World) -> None:
    ended = []

    @effort(120)
    @given(key=KEYS, value=INPUTS)
    def is_whole(key: Any, value: Any) -> None:
        before = count(world.store.database, t.saga)
        try:
            handle = fuzzed.start(value, key=key)
        except (SagaError, ValidationError) as error:
            _says_why(error)
            assert count(world.store.database, t.saga) == before
        else:
            _ends_with(world, Anything.model_validate(value), handle)
            ended.append(handle.id)
        world.changed()

    is_whole()
    assert ended


def test_all_of_many_starts_succeed_or_none_does(world: World) -> None:
    @effort(60)
    @given(keys=st.lists(KEYS, unique=True, min_size=1, max_size=4), value=INPUTS)
    def is_whole(keys: list[Any], value: Any) -> None:
        before = count(world.store.database, t.saga)
        try:
            handles = fuzzed.start_many([(value, key) for key in keys])
        except (SagaError, ValidationError) as error:
            _says_why(error)
            assert count(world.store.database, t.saga) == before
        else:
            _ends_with(world, Anything.model_validate(value), *handles)
        world.changed()

    is_whole()


def test_the_command_starts_exactly_what_is_in_the_file_or_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELERY_APP", "tests.fuzz.app")
    monkeypatch.setattr("tests.fuzz.app.app", world.app)
    text = st.one_of(
        INPUTS.map(_json),
        st.binary(max_size=40),
        JSON.map(_json),
        st.integers(1, 200_000).map(lambda depth: b"[" * depth),
    )

    @effort(80)
    @given(content=text, key=ANY_TEXT)
    def is_whole(content: bytes, key: str) -> None:
        before = count(world.store.database, t.saga)
        words = ["start", "fuzzed", "-", "--key", key]
        result = CliRunner().invoke(main, words, input=content)
        assert result.exception is None or isinstance(result.exception, SystemExit)
        started = count(world.store.database, t.saga) - before
        assert (result.exit_code == 0) == (started > 0)
        if started == 1:
            own = json.loads(content)
            given = Anything.model_validate(own[0] if isinstance(own, list) else own)
            _ends_with(world, given, fuzzed.get(key=key))
        world.changed()

    is_whole()


def _json(value: Any) -> bytes:
    try:
        return json.dumps(value).encode()
    except (ValueError, RecursionError):  # what Python cannot write
        return b"NaN"


def test_a_number_that_json_does_not_have_names_the_saga_and_the_remedy(world: World) -> None:
    with pytest.raises(SagaError, match=r"'fuzzed' 'K'.*cannot be carried as JSON.*Use finite"):
        fuzzed.start(Anything(more=math.nan), key="K")
    assert not world.changed()
