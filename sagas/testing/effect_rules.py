"""The rules of one saga's effects: none comes twice, too late, or without an attempt."""

from collections import Counter
from collections.abc import Collection, Sequence

from sagas.states import StepStatus
from sagas.testing.history_rules import Found, Walk
from sagas.testing.model import APPLIED, DUPLICATE, Effect
from sagas.testing.options import SagaOptions

__all__ = ["EffectRules", "check_effects"]


class EffectRules:
    """Counts how often each (step, operation) was applied, and checks each line on the way.

    ``no_ledger`` has the steps that the ledger does not cover.
    """

    __slots__ = (
        "_at_least_once",
        "_key_of",
        "_user_of",
        "applied",
        "found",
        "history",
        "no_ledger",
        "requested",
    )

    def __init__(self, history: Walk, options: SagaOptions, found: Found) -> None:
        self.history = history
        self.found = found
        self.applied: Counter[tuple[str, str]] = Counter()
        self.requested: set[tuple[str, str]] = set()
        self.no_ledger: Collection[str] = options.get("no_ledger", ())
        self._at_least_once: Collection[str] = options.get("at_least_once", ())
        self._user_of: dict[str, tuple[str, str]] = {}
        self._key_of: dict[tuple[str, str], str] = {}

    def add(self, effect: Effect) -> None:
        """Add the next line of the ledger."""
        what = (effect.step, effect.operation)
        if effect.step not in self._at_least_once:
            self._check_once(effect, what)
        self.requested.add(what)
        if effect.result == APPLIED:
            self.applied[what] += 1

    def was_undone(self, step: str) -> bool:
        """Tell whether the step was undone; an at-least-once step need only have been asked."""
        what = (step, "compensation")
        return what in self.applied or (step in self._at_least_once and what in self.requested)

    def _check_once(self, effect: Effect, what: tuple[str, str]) -> None:
        step, operation = what
        if effect.key is not None and self._key_of.setdefault(what, effect.key) != effect.key:
            self._add("S4", f"the {operation} of {step} came with two keys")
        if effect.result == DUPLICATE and what not in self.requested:
            self._add("S4", f"the {operation} of {step} was taken for a repeat, but was the first")
        if effect.result != APPLIED:
            return
        if operation == "action" and (step, "compensation") in self.requested:
            self._add("S7", f"the action of {step} was applied after its compensation")
        if operation == "compensation" and (step, "action") not in self.applied:
            self._add("S7", f"{step} was undone, but its action was not applied")
        if effect.key is not None and self._user_of.setdefault(effect.key, what) != what:
            other = " of ".join(reversed(self._user_of[effect.key]))
            self._add("S4", f"the {operation} of {step} and the {other} share a key: {effect.key}")

    def check_counts(self) -> None:
        """Check the counts, once every line has been added."""
        for what, count in self.applied.items():
            step, operation = what
            if count > 1 and step not in self._at_least_once:
                self._add("S4", f"the {operation} of {step} was applied {count} times")
            if step not in self.history.places:
                self._add("S14", f"the {operation} of {step} was applied, but is not in the plan")
            elif what not in self.history.attempted and step not in self.history.by_hand:
                self._add("S9", f"the {operation} of {step} was applied without an attempt")
            if operation == "action" and self._is_denied(step):
                self._add("S11", f"{step} is FAILED, which means no effect, but it was applied")

    def _is_denied(self, step: str) -> bool:
        failed = self.history.saga.steps.get(step) is StepStatus.FAILED
        return failed and step not in self._at_least_once

    def _add(self, rule: str, text: str) -> None:
        self.found.append((rule, text))


def check_effects(
    effects: Sequence[Effect], history: Walk, options: SagaOptions, found: Found
) -> EffectRules:
    """Count the effects; add the rules that they break to *found*."""
    counted = EffectRules(history, options, found)
    for effect in effects:
        counted.add(effect)
    counted.check_counts()
    return counted
