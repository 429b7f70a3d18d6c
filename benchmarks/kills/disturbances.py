"""What disturbs a run while it works: the rows of the table."""

import random
import signal
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.kills.broker import Broker
from benchmarks.kills.fleet import Fleet

__all__ = ["DISTURBANCES", "OUTAGE_S", "Disturbance", "Scene"]

#: How long a restarted broker is away, in seconds.
OUTAGE_S = 0.5


@dataclass(frozen=True, slots=True)
class Scene:
    """What a disturbance can reach, and the worker that it should hit."""

    fleet: Fleet
    broker: Broker
    victim: str
    chance: random.Random
    pause: Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Disturbance:
    """One way to disturb a run; by default it strikes *times* times."""

    name: str
    title: str
    times: int
    strike: Callable[[Scene], None]


def _restart_broker(scene: Scene) -> None:
    scene.broker.stop()
    scene.pause(OUTAGE_S)
    scene.broker.run()


DISTURBANCES = (
    Disturbance("none", "nothing", 0, lambda _: None),
    Disturbance("worker", "SIGKILL the whole worker", 12, lambda s: s.fleet.kill(s.victim)),
    Disturbance(
        "main",
        "SIGKILL the main process only",
        12,
        lambda s: s.fleet.signal(s.victim, signal.SIGKILL),
    ),
    Disturbance("child", "SIGKILL one child", 40, lambda s: s.fleet.kill_child(s.victim, s.chance)),
    Disturbance(
        "quit", "SIGQUIT (cold shutdown)", 12, lambda s: s.fleet.signal(s.victim, signal.SIGQUIT)
    ),
    Disturbance(
        "term", "SIGTERM (warm shutdown)", 12, lambda s: s.fleet.signal(s.victim, signal.SIGTERM)
    ),
    Disturbance("flush", "FLUSHALL of the broker", 8, lambda s: s.broker.flush()),
    Disturbance("broker", "broker restarted without persistence", 4, _restart_broker),
)
