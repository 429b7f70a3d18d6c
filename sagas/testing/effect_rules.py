"""The effects of one saga, counted: what came twice, too late, or without anybody's order?"""

from collections import Counter
from collections.abc import Collection, Sequence

from sagas.states import StepStatus
from sagas.testing.history_rules import Found, Walk
from sagas.testing.model import APPLIED, DUPLICATE, Effect
from sagas.testing.options import SagaOptions

__all__ = ["EffectRules", "check_effects"]


class EffectRules:
    """How often each (step, operation) was applied, once every line was taken.

    ``unknown`` are the steps of which the ledger knows nothing.
    """

    __slots__ = ("_keys", "_own", "_weak", "applied", "found", "seen", "unknown", "walked")

    def __init__(self, walked: Walk, options: SagaOptions, found: Found) -> None:
        self.walked = walked
        self.found = found
        self.applied: Counter[tuple[str, str]] = Counter()
        self.seen: set[tuple[str, str]] = set()
        self.unknown: Collection[str] = options.get("no_ledger", ())
        self._weak: Collection[str] = options.get("at_least_once", ())
        self._keys: dict[str, tuple[str, str]] = {}
        self._own: dict[tuple[str, str], str] = {}

    def take(self, effect: Effect) -> None:
        """Take the next line."""
        what = (effect.step, effect.operation)
        if effect.step not in self._weak:
            self._take_strong(effect, what)
        self.seen.add(what)
        if effect.result == APPLIED:
            self.applied[what] += 1

    def undid(self, step: str) -> bool:
        """Tell whether the step was undone, or at least asked to be where it knows no repeat."""
        what = (step, "compensation")
        return what in self.applied or (step in self._weak and what in self.seen)

    def _take_strong(self, effect: Effect, what: tuple[str, str]) -> None:
        step, operation = what
        if effect.key is not None and self._own.setdefault(what, effect.key) != effect.key:
            self._add("S4", f"the {operation} of {step} came with two keys")
        if effect.result == DUPLICATE and what not in self.seen:
            self._add("S4", f"the {operation} of {step} was taken for a repeat, but is the first")
        if effect.result != APPLIED:
            return
        if operation == "action" and (step, "compensation") in self.seen:
            self._add("S7", f"the action of {step} was applied after its compensation")
        if operation == "compensation" and (step, "action") not in self.applied:
            self._add("S7", f"{step} was undone without its action")
        if effect.key is not None and self._keys.setdefault(effect.key, what) != what:
            other = " of ".join(reversed(self._keys[effect.key]))
            self._add("S4", f"one key for the {operation} of {step} and the {other}: {effect.key}")

    def total(self) -> None:
        """Look at the counts."""
        for what, count in self.applied.items():
            step, operation = what
            if count > 1 and step not in self._weak:
                self._add("S4", f"the {operation} of {step} was applied {count} times")
            if step not in self.walked.places:
                self._add("S14", f"the {operation} of {step} was applied: it is not in its plan")
            elif what not in self.walked.attempted and step not in self.walked.by_hand:
                self._add("S9", f"the {operation} of {step} was applied without an attempt")
            if operation == "action" and self._is_denied(step):
                self._add("S11", f"{step} is FAILED, which means without effect, but was applied")

    def _is_denied(self, step: str) -> bool:
        failed = self.walked.saga.steps.get(step) is StepStatus.FAILED
        return failed and step not in self._weak

    def _add(self, rule: str, text: str) -> None:
        self.found.append((rule, text))


def check_effects(
    effects: Sequence[Effect], walked: Walk, options: SagaOptions, found: Found
) -> EffectRules:
    """Count the effects; add what is wrong with them to *found*."""
    tally = EffectRules(walked, options, found)
    for effect in effects:
        tally.take(effect)
    tally.total()
    return tally
