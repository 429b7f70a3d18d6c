"""No message raises an exception, and a saga advances only by its own message."""

import copy
from contextlib import suppress
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from sagas.decision import SagaState, awaited_call
from sagas.decision.progress import current
from sagas.runtime.messages import TURN_BACK, Link
from sagas.states import ENDED, Operation
from tests.fuzz.effort import ANY_TEXT, JSON, effort
from tests.fuzz.world import World
from tests.support.shop import EVERY_TASK, RELEASE, RESERVE

HEADERS = [
    *("callbacks", "chain", "errbacks", "group", "chord", "group_index", "retries", "timelimit"),
    *("expires", "eta", "root_id", "parent_id", "saga_sent_at", "saga_queue", "ignore_result"),
    *("shadow", "reply_to", "origin", "stamps", "stamped_headers", "replaced_task_nesting"),
]
STEPS = st.one_of(st.sampled_from([RESERVE, "shop.charge", "shop.notify", "shop.report"]), ANY_TEXT)
FORGED = st.dictionaries(st.sampled_from(HEADERS), JSON, max_size=3)


def _may_move(saga: SagaState, task: str, args: Any) -> bool:
    """Tell whether the engine itself may send this for the saga in its current state."""
    if saga.status in ENDED:
        return False
    if task == TURN_BACK:
        return bool(args[1:] == [str(saga.id), saga.epoch])
    call, link = awaited_call(saga), Link.read(args)
    addressed = link is not None and (link.saga_id, link.epoch) == (saga.id, saga.epoch)
    waits = call is not None and call.task == task and saga.sent_at is not None
    return addressed and waits


def _moved_by(world: World, task: str, args: Any) -> set[str]:
    return {key for key, saga in world.states.items() if _may_move(saga, task, args)}


@st.composite
def _nearly_right(draw: st.DrawFn, sagas: list[SagaState]) -> tuple[str, list[Any]]:
    """Build a task and its arguments, with at most one mistake in most cases."""
    saga = draw(st.sampled_from(sagas))
    call = awaited_call(saga)
    operation = Operation.COMPENSATION if call and call.task == RELEASE else Operation.ACTION
    task, step = (call.task, current(saga, operation)) if call else (RESERVE, RESERVE)
    args: list[Any] = [str(saga.id), step, saga.epoch]
    if draw(st.booleans()) and draw(st.booleans()):
        task, args = TURN_BACK, ["any id", *args[::2]]
    match draw(st.integers(0, 6)):
        case 0:
            task = draw(st.sampled_from(EVERY_TASK))
        case 1:
            args[draw(st.integers(0, 2))] = draw(JSON)
        case 2 | 3:
            args[2] = draw(st.integers(-1, saga.epoch + 2))
        case 4:
            args[1] = draw(STEPS)
        case 5:
            args = draw(st.lists(JSON, max_size=4))
        case _:
            pass
    return task, args


def test_a_forged_message_raises_nothing_and_advances_no_saga_but_its_own(
    world: World,
) -> None:
    sagas = list(world.states.values())

    @effort(250)
    @given(
        message=_nearly_right(sagas),
        kwargs=st.dictionaries(st.one_of(st.sampled_from(["task", "self"]), ANY_TEXT), JSON),
        request=st.fixed_dictionaries(
            {"id": st.one_of(st.just("an id"), JSON)}, optional={"timelimit": JSON, "chain": JSON}
        ),
    )
    def is_safe(message: Any, kwargs: dict[str, Any], request: Any) -> None:
        task, args = message
        may = _moved_by(world, task, args)
        own = world.app.tasks[task]
        own.push_request(**request, called_directly=False, args=args, kwargs=kwargs)
        try:
            assert isinstance(own.run(*args, **kwargs), str)
        finally:
            own.pop_request()
        assert world.changed() <= may

    is_safe()
    assert world.moves, "no message was right"


def test_a_forged_header_advances_no_other_saga(world: World) -> None:
    sagas = list(world.states.values())

    @effort(150)
    @given(message=_nearly_right(sagas), forged=FORGED)
    def is_safe(message: Any, forged: dict[str, Any]) -> None:
        task, args = message
        may = _moved_by(world, task, args)
        with suppress(RuntimeWarning):  # so Celery reports headers that it cannot interpret
            world.driver.send(task, *args, **forged)
        assert world.changed() <= may

    is_safe()
    assert world.moves, "no message was right"


def test_a_message_that_was_changed_in_transit_advances_no_other_saga(
    world: World,
) -> None:
    assert len(world.sent) > 5

    @effort(150)
    @given(message=st.sampled_from(world.sent), data=st.data())
    def is_safe(message: Any, data: st.DataObject) -> None:
        headers, (args, kwargs, embed) = copy.deepcopy(message)
        for part in (headers, args, embed):
            if data.draw(st.booleans()):
                _change(part, data)
        # Celery discards a task that it does not know.
        headers["task"] = data.draw(st.sampled_from([message[0]["task"], *EVERY_TASK]))
        headers.setdefault("id", "an id")
        may = _moved_by(world, headers["task"], args)
        with suppress(RuntimeWarning):
            world.driver.run(headers, (args, kwargs, embed))
        assert world.changed() <= may

    is_safe()
    assert world.moves, "no message was right"


def _change(value: Any, data: st.DataObject) -> None:
    """Replace, remove or add something somewhere in a JSON value."""
    places = list(value) if isinstance(value, dict) else list(range(len(value)))
    if not places:
        return
    place = data.draw(st.sampled_from(places))
    if isinstance(value[place], dict | list) and value[place] and data.draw(st.booleans()):
        _change(value[place], data)
    elif data.draw(st.booleans()):
        value[place] = data.draw(st.one_of(JSON, st.integers(0, 4)))
    else:
        del value[place]


@effort(1000)
@given(args=st.one_of(JSON, st.lists(JSON, min_size=3, max_size=3)))
def test_any_value_is_parsed_as_a_link_or_as_none(args: Any) -> None:
    link = Link.read(args)
    if link is not None:
        assert isinstance(link.saga_id, UUID)
        assert link.step.isprintable()
        assert Link.read(list(link.args)) == link
