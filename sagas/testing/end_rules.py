"""The rules of a saga's end: its steps and their effects are as its status says."""

from collections.abc import Mapping

from sagas.plan import PlannedStep
from sagas.states import ENDED, SagaStatus, StepStatus
from sagas.testing.effect_rules import EffectRules
from sagas.testing.history_rules import Found, Walk
from sagas.testing.model import Observed
from sagas.testing.options import SagaOptions

__all__ = ["check_end"]

_DONE = frozenset({StepStatus.SUCCESS, StepStatus.SKIPPED})
_GIVEN_UP = frozenset({StepStatus.FAILED, StepStatus.UNKNOWN})
_UNDONE = frozenset(
    {StepStatus.PENDING, StepStatus.SKIPPED, StepStatus.FAILED, StepStatus.COMPENSATED}
)
_MAY_STAY = frozenset({StepStatus.SUCCESS, StepStatus.UNKNOWN})


def check_end(
    history: Walk, effects: EffectRules | None, options: SagaOptions, found: Found
) -> None:
    """Add the rules that the saga's end breaks to *found*."""
    saga = history.saga
    _check_ended(saga, options, found)
    if history.resolved:
        return  # a person ended it, and answers for the effects that stay
    if saga.status is SagaStatus.COMPLETED:
        for planned in saga.plan.steps:
            _check_completed(planned, history, effects, found)
    elif saga.status is SagaStatus.FAILED:
        for planned in saga.plan.steps:
            _check_parked(planned, history, effects, found)
    elif saga.status is SagaStatus.COMPENSATED:
        for planned in saga.plan.steps:
            _check_compensated(planned, history, effects, found)


def _check_ended(saga: Observed, options: SagaOptions, found: Found) -> None:
    if saga.status not in ENDED and not saga.waits and not options.get("running"):
        last = "; ".join(
            f"{entry.at:%H:%M:%S.%f} {entry.event} {entry.step or ''} {entry.actor}"
            for entry in saga.history[-6:]
        )
        found.append(("L1", f"it is {saga.status} and has not ended: {last}"))
    if "parked" in options and (saga.key in options["parked"]) != (
        saga.status is SagaStatus.FAILED
    ):
        expected = "must" if saga.key in options["parked"] else "must not"
        found.append(("L1", f"it is {saga.status}, but {expected} be parked"))


def _check_completed(
    planned: PlannedStep, history: Walk, effects: EffectRules | None, found: Found
) -> None:
    name, status = planned.name, _status_of(planned, history.saga.steps)
    if status not in _DONE and not (planned.best_effort and status in _GIVEN_UP):
        found.append(("S5", f"it is completed, but {name} is {status}"))
    if effects is None or name in effects.no_ledger or name in history.by_hand:
        return
    if (name, "compensation") in effects.applied:
        found.append(("S5", f"it is completed, but {name} was undone"))
    done = (name, "action") in effects.applied
    if status is StepStatus.SKIPPED and done:
        found.append(("S5", f"{name} was skipped, but was applied"))
    if status is StepStatus.SUCCESS and not done and not planned.read_only:
        found.append(("S5", f"it is completed, but {name} was not applied"))


def _check_parked(
    planned: PlannedStep, history: Walk, effects: EffectRules | None, found: Found
) -> None:
    name, status = planned.name, _status_of(planned, history.saga.steps)
    if effects is None or name in effects.no_ledger or name in history.by_hand:
        return
    done = (name, "action") in effects.applied
    if status is StepStatus.SUCCESS and not done and not planned.read_only:
        found.append(("S5", f"it is parked, but {name} was not applied"))
    if status is StepStatus.COMPENSATED and done and not effects.was_undone(name):
        found.append(("S6", f"it is parked, but {name} was not undone"))


def _check_compensated(
    planned: PlannedStep, history: Walk, effects: EffectRules | None, found: Found
) -> None:
    name, status = planned.name, _status_of(planned, history.saga.steps)
    harmless = planned.compensation is None and (planned.best_effort or planned.read_only)
    if status not in _UNDONE and not (harmless and status in _MAY_STAY):
        found.append(("S6", f"it is compensated, but {name} is {status}"))
    if effects is None or harmless or name in effects.no_ledger or name in history.by_hand:
        return
    if (name, "action") in effects.applied and not effects.was_undone(name):
        found.append(("S6", f"it is compensated, but {name} was not undone"))


def _status_of(planned: PlannedStep, steps: Mapping[str, StepStatus]) -> StepStatus:
    return steps.get(planned.name, StepStatus.PENDING)
