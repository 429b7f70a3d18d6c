"""Messages and errbacks in queues that nobody consumes, and routes that lead nowhere."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from kombu.entity import Exchange, Queue, binding
from sqlalchemy import select, update

from sagas import ConfigurationError, Event, Saga, SagaHandle, step
from sagas.cli.render import print_stats
from sagas.duties.heartbeat import Heartbeat
from sagas.duties.in_flight import InFlight
from sagas.duties.supervisor import Supervisor
from sagas.duties.sweep import Sweep
from sagas.record import tables as t
from sagas.record import workers
from sagas.record.stats import stats
from sagas.runtime import queues
from sagas.runtime.app import Runtime
from sagas.runtime.messages import TURN_BACK, Chain
from sagas.runtime.queues import routed_queue
from sagas.sql import before_now


@step(name="field.route.pay", queue="payments")
def pay(order: str) -> None:
    """Take the money."""


@step(name="field.route.pack")
def pack(order: str) -> None:
    """Pack it."""


@pack.compensation()
def unpack(order: str) -> None:
    """Unpack it."""


paid = Saga("field.route.paid", input=str, steps=[pack, pay])
packed = Saga("field.route.packed", input=str, steps=[pack])

#: Sets the route of the step and of nothing else.
Route = Callable[..., None]


@pytest.fixture
def route(field_runtime: Runtime) -> Route:
    def to(**route: Any) -> None:
        shop = Exchange("shop", type="topic")
        field_runtime.app.conf.task_queues = [
            Queue("celery", shop, routing_key="default"),
            Queue("cards", shop, routing_key="pay.*.card"),
            Queue("all", shop, routing_key="audit.#"),
            Queue("desk", Exchange("desk", type="direct"), routing_key="here"),
            Queue("bound", [binding(Exchange("desk"), routing_key="there")]),
        ]
        field_runtime.app.conf.task_routes = {"field.route.pack": route}

    return to


def errbacks(runtime: Runtime, saga: Saga[str]) -> list[str | None]:
    """Return the queue of each errback of a new saga's chain."""
    sent: list[Any] = []

    build = runtime.messages.links

    def note(chain: Chain) -> list[Any]:
        sent.extend(links := build(chain))
        return links

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime.messages, "links", note)
        saga.start("E-1")
    return [link.options["link_error"][0].options.get("queue") for link in sent]


def test_an_errback_goes_to_the_queue_of_its_step(field_runtime: Runtime) -> None:
    assert errbacks(field_runtime, paid) == ["celery", "payments"]


def test_an_errback_goes_to_the_configured_queue(
    field_runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_queue = replace(field_runtime.settings, saga_queue="engine")
    monkeypatch.setattr(field_runtime, "settings", with_queue)
    assert errbacks(field_runtime, paid) == ["engine", "engine"]


def test_an_errback_follows_its_own_route(field_runtime: Runtime) -> None:
    field_runtime.app.conf.task_routes = {TURN_BACK: {"queue": "elsewhere"}}
    assert errbacks(field_runtime, paid) == [None, None]  # Celery routes it


@pytest.mark.parametrize(
    ("given", "queue"),
    [
        ({"exchange": "shop", "routing_key": "pay.eu.card"}, "cards"),
        ({"exchange": "shop", "routing_key": "audit"}, "all"),
        ({"exchange": "shop", "routing_key": "audit.a.b"}, "all"),
        ({"exchange": Exchange("desk"), "routing_key": "here"}, "desk"),
        ({"exchange": "desk", "routing_key": "there"}, "bound"),
        ({"queue": "cards"}, "cards"),
    ],
    ids=str,
)
def test_a_route_by_exchange_and_routing_key_is_resolved_by_its_binding(
    given: dict[str, Any], queue: str, field_runtime: Runtime, route: Route
) -> None:
    route(**given)
    assert routed_queue(field_runtime.app, "field.route.pack", None).name == queue
    assert errbacks(field_runtime, packed) == [queue]


def test_a_route_that_leads_to_no_queue_is_refused_by_name(
    field_runtime: Runtime, route: Route, caplog: pytest.LogCaptureFixture
) -> None:
    route(exchange="shop", exchange_type="topic", routing_key="pay.card")
    with pytest.raises(ConfigurationError) as raised:
        routed_queue(field_runtime.app, "field.route.pack", None)
    what = "The route of task field.route.pack names exchange 'shop' and routing key 'pay.card'"
    assert str(raised.value).startswith(f"{what}, which lead to no queue of task_queues")
    packed.start("E-2", key="E-2")
    assert "it has no route for the next message" in caplog.text
    assert "the broker did not accept" not in caplog.text
    field_runtime.enter_worker("one@here")
    supervisor = Supervisor(field_runtime)
    with caplog.at_level(logging.ERROR, logger="sagas.duties.supervisor"):
        caplog.clear()
        supervisor.start()
        supervisor.stop()
    assert f"No saga can run step field.route.pack: {what}" in caplog.text


def test_a_route_that_leads_to_several_queues_is_refused_with_their_names(
    field_runtime: Runtime,
) -> None:
    loud = Exchange("loud", type="fanout")
    field_runtime.app.conf.task_queues = [Queue("a", loud), Queue("b", loud), Queue("celery")]
    field_runtime.app.conf.task_routes = {"field.route.pack": {"exchange": "loud"}}
    with pytest.raises(ConfigurationError, match=r"lead to several queues \(a, b\)"):
        routed_queue(field_runtime.app, "field.route.pack", None)


@pytest.fixture
def check(field_runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Return the sweep of a worker that consumes only the default queue."""
    monkeypatch.setattr(queues, "EXACT", (*queues.EXACT, "memory"))  # only this process uses it
    field_runtime.enter_worker("one@here")
    in_flight = InFlight()

    def check_once() -> None:
        Heartbeat(field_runtime, in_flight).heartbeat_once()
        due = update(t.saga).where(t.saga.c.due_at.is_not(None)).values(due_at=before_now(1))
        field_runtime.database.write(lambda c: c.execute(due))
        Sweep(field_runtime, in_flight).sweep_once()

    yield check_once
    with field_runtime.app.connection_for_write() as connection:
        for name in ("celery", "payments"):
            Queue(name)(connection.default_channel).delete()


only_paid = Saga("field.route.only-paid", input=str, steps=[pay])


def alerts(runtime: Runtime) -> list[Any]:
    return [row.body for row in runtime.database.read(lambda c: c.execute(select(t.alert)).all())]


def blocked_after(check: Callable[[], None], *, checks: int) -> SagaHandle:
    handle = only_paid.start("N-1", key="N-1")
    for _ in range(checks):
        check()
    return handle


def test_a_worker_records_which_queues_it_consumes(
    field_runtime: Runtime, check: Callable[[], None]
) -> None:
    field_runtime.app.amqp.queues.select(["payments", "celery"])
    check()
    found = field_runtime.database.read(lambda c: workers.consumed_queues(c, 60))
    assert found == {"payments", "celery"}


def test_a_message_in_a_queue_that_no_living_worker_consumes_is_reported_once(
    field_runtime: Runtime, check: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    handle = blocked_after(check, checks=6)
    (alert,) = alerts(field_runtime)
    assert (alert["event"], alert["queue"]) == ("saga.blocked", "payments")
    assert "waits in queue payments, which no living worker consumes" in alert["reason"]
    assert [entry.event for entry in handle.history()] == [Event.STARTED, Event.BLOCKED]
    figures = field_runtime.database.read(lambda c: stats(c, lease_s=60))
    assert (figures.blocked, figures.blocked_queues) == (1, {"payments": 1})
    print_stats(figures)
    assert "queue payments: no worker runs the messages of 1 saga" in capsys.readouterr().out


def test_a_restarting_worker_is_given_time(
    field_runtime: Runtime, check: Callable[[], None]
) -> None:
    blocked_after(check, checks=2)
    field_runtime.app.amqp.queues.select(["payments", "celery"])
    check()
    field_runtime.app.amqp.queues.select(["celery"])
    check()
    check()
    assert alerts(field_runtime) == []


def test_nothing_is_reported_while_no_worker_says_what_it_consumes(
    field_runtime: Runtime, check: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "consumed_queues", lambda *_: set())
    blocked_after(check, checks=6)
    assert alerts(field_runtime) == []
