"""Workers of an older and of a newer plan take each other's messages, and nothing is lost."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

import pytest

from sagas.states import ENDED, SagaStatus
from tests.support.waiting import wait_until
from tests.support.workers import Worker, running_worker
from tests.system.world import World

pytestmark = pytest.mark.slow

APP = "tests.system.versions"
SECOND = {"old": "hotel", "new": "insurance"}

#: By what happens to it: what it is given, and how it ends by either plan.
TRIPS: Mapping[str, tuple[Mapping[str, object], Mapping[str, SagaStatus]]] = {
    "plain": ({}, {"old": SagaStatus.COMPLETED, "new": SagaStatus.COMPLETED}),
    "breaks": ({"breaks": 3}, {"old": SagaStatus.COMPENSATED, "new": SagaStatus.COMPLETED}),
    "refused": (
        {"no_car": True},
        {"old": SagaStatus.COMPENSATED, "new": SagaStatus.COMPENSATED},
    ),
}
OF_EACH = 3
LACKS = "This worker has no task "


def environment(world: World, version: str) -> dict[str, str]:
    return {**world.env, "TRIP_VERSION": version}


def worker(world: World, version: str, name: str) -> Worker:
    log = world.directory / f"{name}.log"
    running = running_worker(APP, "-c", "2", log=log, env=environment(world, version))
    made = world.stack.enter_context(running)
    world.workers.append(made)
    wait_until(lambda: made.ready, what=f"{name} is ready")
    return made


def start(world: World, version: str, trips: Sequence[Mapping[str, object]]) -> None:
    command = [sys.executable, "-m", "celery", "-A", APP, "saga", "start", "trip", "-"]
    done = subprocess.run(
        [*command, "--key-field", "key"],
        input=json.dumps(trips),
        env={**os.environ, **environment(world, version)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def all_ended(world: World, version: str = "") -> bool:
    return all(saga.status in ENDED for saga in world.sagas() if saga.key.startswith(version))


def check_trip(world: World, version: str, kind: str, key: str) -> None:
    saga = world.saga(key)
    assert saga.status is TRIPS[kind][1][version], key
    assert saga.blocked is None
    assert list(world.steps(key)) == ["flight", SECOND[version], "car"]
    if kind == "breaks":
        # A busy machine may make a worker's signs of life late, and cost an attempt.
        lost = sum(entry.event == "taken over" for entry in world.history(key))
        assert 0 <= world.steps(key)["flight"].attempt - {"old": 2, "new": 4}[version] <= lost
    done = [(e.step, e.operation) for e in world.effects() if e.saga_id == saga.id]
    booked = [] if (version, kind) == ("old", "breaks") else ["flight", SECOND[version]]
    if saga.status is SagaStatus.COMPLETED:
        booked.append("car")
    undone = [] if saga.status is SagaStatus.COMPLETED else list(reversed(booked))
    expected = [(name, "action") for name in booked] + [(name, "compensation") for name in undone]
    assert done == expected, key


def test_sagas_of_both_versions_end_by_their_own_plan_whichever_worker_takes_their_messages(
    world: World,
) -> None:
    keys = {
        (version, kind): [f"{version}-{kind}-{number}" for number in range(OF_EACH)]
        for version in SECOND
        for kind in TRIPS
    }

    def start_all(version: str, numbers: slice) -> None:
        of_version = [(kind, keys[version, kind][numbers]) for kind in TRIPS]
        trips = [{"key": key, **TRIPS[kind][0]} for kind, some in of_version for key in some]
        start(world, version, trips)

    # Who takes a message is left to chance while both work, and to none before and after that.
    new = worker(world, "new", "new")
    start_all("old", slice(1))
    wait_until(lambda: LACKS in new.log.read_text(), what="it has taken what only the old one can")
    old = worker(world, "old", "old")
    for version in SECOND:
        start_all(version, slice(1, 2))
    # First all that is old ends by old workers, as if the newer version were rolled back.
    new.stop()
    start_all("new", slice(2, OF_EACH))
    start_all("old", slice(2, OF_EACH))
    wait_until(lambda: LACKS in old.log.read_text(), what="it has taken what only the new one can")
    wait_until(lambda: all_ended(world, "old"), what="what is old ends")
    # Then all that is new.
    start_all("new", slice(1))
    worker(world, "new", "new-again")
    old.stop()
    world.wait_until_ended()
    for (version, kind), of_kind in keys.items():
        for key in of_kind:
            check_trip(world, version, kind, key)


def test_a_saga_that_no_worker_can_run_waits_and_alerts_and_goes_on_with_the_first_that_can(
    world: World,
) -> None:
    new = worker(world, "new", "new")
    start(world, "old", [{"key": "old-1"}])
    wait_until(lambda: world.saga("old-1").blocked, what="it waits")
    wait_until(lambda: "No worker ran the action of hotel" in new.log.read_text())
    assert "This worker has no task hotel, so step hotel of saga" in new.log.read_text()
    listed = world.operate("list", "--blocked")
    assert "old-1" in listed
    saga = world.saga("old-1")
    assert (saga.status, saga.failure) == (SagaStatus.IN_PROGRESS, None)
    worker(world, "old", "old")
    new.stop()
    world.wait_until_ended()
    check_trip(world, "old", "plain", "old-1")
    assert new.log.read_text().count("is blocked: No worker ran the action of hotel") == 1
