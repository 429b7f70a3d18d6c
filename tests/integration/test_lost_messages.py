"""The evidence of its queue decides whether a message is lost; silence proves nothing."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from kombu.entity import Queue

from sagas.decision import SagaState
from sagas.duties.lost_messages import LostMessages
from sagas.record.store import Store
from sagas.runtime.app import Runtime
from sagas.runtime.queues import Lane
from tests.support.records import claims, started

#: Decides whether the message that a saga was sent a minute ago is lost.
Judge = Callable[..., bool]


@pytest.fixture
def saga(store: Store) -> SagaState:
    """Return a saga whose message was sent a minute ago."""
    made = store.peek(started(store))
    assert made
    return replace(made, now=made.now + timedelta(seconds=60))


@pytest.fixture
def lost(saga: SagaState, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> Judge:
    """Return a judge of the queue's length and of how much later a received message was sent."""

    def judge(length: int | None, *, moved_s: float | None = None) -> bool:
        monkeypatch.setattr(runtime.messages, "lane_of", lambda _: Lane(Queue("q")))
        monkeypatch.setattr(runtime.messages, "backlog", lambda _: {"q": length})
        assert saga.sent_at
        seen = {} if moved_s is None else {"q": saga.sent_at.timestamp() + moved_s}
        return LostMessages(runtime.messages, seen, margin_s=1).is_lost(saga)

    return judge


def test_a_message_is_lost_when_its_queue_is_empty(lost: Judge) -> None:
    assert lost(0)


def test_a_message_waits_when_its_queue_is_not_empty(lost: Judge) -> None:
    assert not lost(1)


def test_a_broker_that_does_not_answer_proves_nothing(lost: Judge) -> None:
    assert not lost(None)
    assert not lost(None, moved_s=30)


@pytest.mark.parametrize("moved_s", [-30, 0.5])
def test_a_message_waits_when_no_clearly_later_message_has_been_received(
    moved_s: float, lost: Judge
) -> None:
    assert not lost(9, moved_s=moved_s)


def test_a_message_is_lost_when_a_clearly_later_message_has_been_received(
    lost: Judge,
) -> None:
    assert lost(9, moved_s=1.5)


def test_no_message_comes_from_the_future(lost: Judge) -> None:
    assert not lost(9, moved_s=3600)


def test_a_saga_that_expects_no_message_has_lost_none(
    saga: SagaState, store: Store, runtime: Runtime
) -> None:
    evidence = LostMessages(runtime.messages, {}, margin_s=1)  # which would report an empty queue
    assert not evidence.is_lost(replace(saga, sent_at=None))
    claims(store, saga.id, "flight")
    running = store.peek(saga.id)
    assert running
    assert not evidence.is_lost(running)
