"""The rules about the record as a whole: business rows, receivers, totals, texts and queues."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from uuid import UUID

from sagas.testing.model import APPLIED, Effect, Observed, Violation
from sagas.testing.options import Options

__all__ = ["RecordRules"]


class RecordRules:
    """Collects what these rules need to know of each saga, and then checks them."""

    def __init__(self, options: Options, effects: Mapping[UUID, Sequence[Effect]] | None) -> None:
        self.options = options
        self._effects = effects or {}
        self._known: dict[UUID, tuple[str, str]] = {}
        self._keys: dict[str, set[str]] = defaultdict(set)
        self._alerts: set[tuple[UUID, int]] = set()

    @property
    def _running(self) -> bool:
        """Whether sagas may have been started or parked after the options were gathered."""
        return self.options.get("running", False)

    def knows(self, saga_id: UUID) -> bool:
        """Tell whether the record has this saga."""
        return saga_id in self._known

    def add(self, saga: Observed) -> None:
        """Add a saga of the record."""
        self._known[saga.id] = (saga.name, saga.key)
        self._keys[saga.name].add(saga.key)
        self._alerts |= {(saga.id, epoch) for epoch in saga.alerts}

    def violations(self) -> list[Violation]:
        """Return the violations, once every saga has been added."""
        return [
            *self._effects_without_sagas(),
            *self._rows_without_sagas(),
            *self._shared_keys(),
            *self._undelivered(),
            *self._others(),
        ]

    def violation(self, rule: str, text: str, saga_id: UUID) -> Violation:
        """Return a violation by one saga, named if the record has it."""
        name, key = self._known.get(saga_id, ("?", "?"))
        return Violation(rule, text, saga_id, name, key)

    def _effects_without_sagas(self) -> Iterator[Violation]:
        for saga_id, effects in self._effects.items():
            if saga_id not in self._known:
                for effect in effects:
                    what = f"the {effect.operation} of {effect.step} was {effect.result}"
                    yield Violation("S1", f"{what} for {saga_id}, which is not a saga")

    def _rows_without_sagas(self) -> Iterator[Violation]:
        for name, keys in self.options.get("keys", {}).items():
            for key in sorted(set(keys) - self._keys[name]):
                yield Violation("S1", f"the row {key} is committed, but has no saga {name}")
            for key in sorted(set() if self._running else self._keys[name] - set(keys)):
                yield Violation("S1", f"the saga {name} {key} exists, but its row does not")

    def _shared_keys(self) -> Iterator[Violation]:
        at_least_once = self.options.get("at_least_once", ())
        first: dict[str, UUID] = {}
        for saga_id, effects in self._effects.items():
            for effect in effects:
                once = effect.result == APPLIED and effect.step not in at_least_once
                if once and effect.key and first.setdefault(effect.key, saga_id) != saga_id:
                    other = " ".join(self._known.get(first[effect.key], ("?",)))
                    yield self.violation(
                        "S4", f"it shares the key {effect.key} with {other}", saga_id
                    )

    def _undelivered(self) -> Iterator[Violation]:
        for receiver, alerts in self.options.get("delivered", {}).items():
            parked = [alert for alert in alerts if alert.event == "saga.parked"]
            got = {(alert.saga_id, alert.epoch) for alert in parked}
            for saga_id, epoch in sorted(set() if self._running else self._alerts - got):
                text = f"{receiver} did not get the alert of epoch {epoch}"
                yield self.violation("S12", text, saga_id)
            for saga_id, epoch in sorted(got - self._alerts):
                text = f"{receiver} got an alert of epoch {epoch}, which was never raised"
                yield self.violation("S12", text, saga_id)

    def _others(self) -> Iterator[Violation]:
        known = {key for _, key in self._known.values()}
        for key in sorted(set(self.options.get("parked", ())) - known):
            yield Violation("L1", f"{key} must be parked, but is not in the record")
        for what, (before, after) in self.options.get("conserved", {}).items():
            if before != after:
                yield Violation("S13", f"{what} changed from {before} to {after}")
        for where, text in self.options.get("texts", {}).items():
            for number, canary in enumerate(self.options.get("canaries", ()), 1):
                if canary in text:
                    yield Violation("S15", f"canary {number} is in {where}")
        for queue, length in self.options.get("queues", {}).items():
            if length:
                yield Violation("L2", f"{length} messages are left in {queue}")
