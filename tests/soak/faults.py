"""What is done to a soak: every kind of fault, each with its beginning and its end."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar

import psutil
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError

from tests.soak.place import MAX_CONNECTIONS
from tests.soak.scene import LEASE_S, Busy, Scene, alone, while_it_answers
from tests.support.waiting import wait_until

__all__ = ["KINDS", "Kind"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to disturb, by the words of the report; it may say which worker it hit.

    *once*: it cannot be done a second time.
    """

    title: str
    strike: Callable[[Scene], str | None]
    loses_messages: bool
    once: bool


KINDS: list[Kind] = []

S = TypeVar("S", bound=Callable[[Scene], str | None])


def _kind(title: str, *, loses_messages: bool = False, once: bool = False) -> Callable[[S], S]:
    def declare(strike: S) -> S:
        KINDS.append(Kind(title, strike, loses_messages, once))
        return strike

    return declare


@contextmanager
def _victim() -> Iterator[None]:
    try:
        yield
    except (psutil.NoSuchProcess, ProcessLookupError, IndexError):  # it has just died
        raise Busy from None


@_kind("a pool child is killed")
def _kill_child(scene: Scene) -> str:
    worker = scene.chance.choice(scene.workers)
    with _victim():
        scene.chance.choice(worker.children).kill()
    return worker.log.stem


@_kind("a worker's main process is killed")
def _kill_main(scene: Scene) -> str:
    worker = scene.chance.choice(scene.workers)
    with _victim():
        worker.main.kill()
    return worker.log.stem


@_kind("a worker is killed with its pool")
def _kill_worker(scene: Scene) -> str:
    worker = scene.chance.choice(scene.workers)
    with _victim():
        worker.kill()
    return worker.log.stem


@_kind("a shop is killed in the middle of its sales")
def _kill_shop(scene: Scene) -> None:
    with _victim():
        scene.chance.choice([shop for shop in scene.shops if not shop.ended]).signal_all(
            signal.SIGKILL
        )


@_kind("a worker is stopped past its lease, and goes on")
def _stop_worker(scene: Scene) -> str:
    worker = scene.chance.choice(scene.workers)
    with _victim():
        group = worker.main.pid
        os.killpg(group, signal.SIGSTOP)
    scene.pause(LEASE_S * 1.5, LEASE_S * 3)
    with suppress(ProcessLookupError):  # it was killed meanwhile
        os.killpg(group, signal.SIGCONT)
    return worker.log.stem


@_kind("a worker is told to end")
def _end_worker(scene: Scene) -> None:
    with _victim():
        scene.chance.choice(scene.workers).main.terminate()


@_kind("Redis is killed, and comes back with its file")
def _restart_redis(scene: Scene) -> None:
    with alone(scene.place.redis.busy):
        scene.place.redis.kill()
        scene.pause(0.2, 1.5)
        scene.place.redis.start()


@_kind("Redis is killed, and comes back empty", loses_messages=True)
def _lose_redis(scene: Scene) -> None:
    with alone(scene.place.redis.busy):
        scene.place.redis.kill()
        scene.place.redis.forget()
        scene.pause(0.2, 1.5)
        scene.place.redis.start()


@_kind("FLUSHALL", loses_messages=True)
def _flush(scene: Scene) -> None:
    with alone(scene.place.redis.busy), scene.place.redis.client() as client:
        client.flushall()


@_kind("Redis refuses writes: its memory is full")
def _fill_redis(scene: Scene) -> None:
    with alone(scene.place.redis.busy), scene.place.redis.client() as client:
        client.config_set("maxmemory", 1)
        scene.pause(0.5, 2)
        client.config_set("maxmemory", 0)


@_kind("messages come twice, and in another order")
def _duplicate(scene: Scene) -> None:
    with alone(scene.place.redis.busy), scene.place.redis.client() as client:
        # A quick worker leaves no message in the queue to be seen: who waits for one gets one.
        if (first := client.brpop(["celery"], timeout=1)) is None:
            raise Busy
        client.rpush("celery", first[1])
        waiting = list(client.lrange("celery", -200, -1)) or [first[1]]
        scene.captured = [*scene.captured, *waiting][-2000:]
        scene.chance.shuffle(waiting)
        for message in waiting:
            client.lpush("celery", message)


@_kind("messages of long ago are sent again")
def _replay(scene: Scene) -> None:
    if not scene.captured:
        raise Busy
    with alone(scene.place.redis.busy), scene.place.redis.client() as client:
        count = min(len(scene.captured), 100)
        client.lpush("celery", *scene.chance.sample(scene.captured, count))


@_kind("messages that nobody can read")
def _garbage(scene: Scene) -> None:
    with alone(scene.place.redis.busy), scene.place.redis.client() as client:
        properties = '{"delivery_info": {}, "delivery_tag": "x", "body_encoding": "base64"}'
        for kind in ("application/x-python-serialize", "application/json", "text/plain"):
            body = f'"body": "gASVDg==", "content-encoding": "binary", "content-type": "{kind}"'
            client.lpush("celery", f'{{{body}, "headers": {{}}, "properties": {properties}}}')


@_kind("the connections to the broker are cut")
def _cut_broker(scene: Scene) -> None:
    door = scene.place.broker_door
    with alone(scene.place.redis.busy):
        door.is_open = False
        door.slam()
        scene.pause(0, 1.5)
        door.is_open = True


@_kind("the broker is slow")
def _slow_broker(scene: Scene) -> None:
    scene.place.broker_door.delay_s = 0.2
    scene.pause(1, 3)
    scene.place.broker_door.delay_s = 0.0


@_kind("the connections to the broker are half-open")
def _muffle_broker(scene: Scene) -> None:
    door = scene.place.broker_door
    with alone(scene.place.redis.busy):
        door.silent = True
        scene.pause(1, 4)
        door.slam()
        door.silent = False


@_kind("the connections to the database are cut")
def _cut_database(scene: Scene) -> None:
    door = scene.place.database_door
    with alone(scene.place.postgres.busy):
        door.is_open = False
        door.slam()
        scene.pause(0, 1.5)
        door.is_open = True


@_kind("the database is slow")
def _slow_database(scene: Scene) -> None:
    scene.place.database_door.delay_s = 0.03
    scene.pause(1, 3)
    scene.place.database_door.delay_s = 0.0


@_kind("the connections to the database are half-open")
def _muffle_database(scene: Scene) -> None:
    door = scene.place.database_door
    with alone(scene.place.postgres.busy):
        door.silent = True
        scene.pause(1, 4)
        door.slam()
        door.silent = False


@_kind("replies to COMMIT are lost")
def _lose_commits(scene: Scene) -> None:
    door = scene.place.database_door
    door.lose_commits += scene.chance.randint(1, 20)
    wait_until(lambda: not door.lose_commits, what="the replies were lost")


@_kind("pg_terminate_backend")
def _terminate_backends(scene: Scene) -> None:
    with alone(scene.place.postgres.busy), while_it_answers():
        scene.place.postgres.server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )


@_kind("PostgreSQL is stopped at once, and recovers")
def _restart_postgres(scene: Scene) -> None:
    with alone(scene.place.postgres.busy):
        scene.place.postgres.stop()
        scene.pause(0, 1)
        scene.place.postgres.start()


@_kind("the standby becomes the primary, the old one lives on read-only", once=True)
def _switch_postgres(scene: Scene) -> None:
    with alone(scene.place.postgres.busy):
        scene.place.switch()


@_kind("no connection to the database is left")
def _exhaust_connections(scene: Scene) -> None:
    engine = create_engine(scene.place.postgres.server.url, poolclass=NullPool)
    with alone(scene.place.postgres.busy), ExitStack() as stack:
        with suppress(DBAPIError):  # which is the point
            for _ in range(MAX_CONNECTIONS):
                stack.enter_context(engine.connect())
        scene.pause(0.5, 2)


@_kind("somebody else holds the rows of live sagas")
def _hold_rows(scene: Scene) -> None:
    live = "SELECT id FROM saga WHERE due_at IS NOT NULL ORDER BY random() LIMIT 20 FOR UPDATE"
    with (
        alone(scene.place.postgres.busy),
        suppress(DBAPIError),  # a deadlock, now and then
        scene.place.record.engine.begin() as connection,
    ):
        connection.execute(text(live))
        scene.pause(0.5, 2)
