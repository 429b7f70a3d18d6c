"""Whether a saga ended as its status says: the steps of the record, and the effects beside them."""

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


def check_end(walked: Walk, tally: EffectRules | None, options: SagaOptions, found: Found) -> None:
    """Add to *found* what is wrong with how the saga ended."""
    saga = walked.saga
    _check_ended(saga, options, found)
    if walked.resolved:
        return  # it ended by a person's word, who takes its effects upon themselves
    if saga.status is SagaStatus.COMPLETED:
        for planned in saga.plan.steps:
            _check_completed(planned, walked, tally, found)
    elif saga.status is SagaStatus.FAILED:
        for planned in saga.plan.steps:
            _check_parked(planned, walked, tally, found)
    elif saga.status is SagaStatus.COMPENSATED:
        for planned in saga.plan.steps:
            _check_compensated(planned, walked, tally, found)


def _check_ended(saga: Observed, options: SagaOptions, found: Found) -> None:
    if saga.status not in ENDED and not saga.waits and not options.get("running"):
        last = "; ".join(
            f"{entry.at:%H:%M:%S.%f} {entry.event} {entry.step or ''} {entry.actor}"
            for entry in saga.history[-6:]
        )
        found.append(("L1", f"it is {saga.status}, and has not ended; {last}"))
    if "parked" in options and (saga.key in options["parked"]) != (
        saga.status is SagaStatus.FAILED
    ):
        expected = "must" if saga.key in options["parked"] else "must not"
        found.append(("L1", f"it is {saga.status}, and {expected} be parked"))


def _check_completed(
    planned: PlannedStep, walked: Walk, tally: EffectRules | None, found: Found
) -> None:
    name, status = planned.name, _status_of(planned, walked.saga.steps)
    if status not in _DONE and not (planned.best_effort and status in _GIVEN_UP):
        found.append(("S5", f"it is completed, and {name} is {status}"))
    if tally is None or name in tally.unknown or name in walked.by_hand:
        return
    if (name, "compensation") in tally.applied:
        found.append(("S5", f"it is completed, and {name} was undone"))
    done = (name, "action") in tally.applied
    if status is StepStatus.SKIPPED and done:
        found.append(("S5", f"{name} was skipped, and was applied"))
    if status is StepStatus.SUCCESS and not done and not planned.read_only:
        found.append(("S5", f"it is completed, and {name} was not applied"))


def _check_parked(
    planned: PlannedStep, walked: Walk, tally: EffectRules | None, found: Found
) -> None:
    name, status = planned.name, _status_of(planned, walked.saga.steps)
    if tally is None or name in tally.unknown or name in walked.by_hand:
        return
    done = (name, "action") in tally.applied
    if status is StepStatus.SUCCESS and not done and not planned.read_only:
        found.append(("S5", f"it is parked, and {name} was not applied"))
    if status is StepStatus.COMPENSATED and done and not tally.undid(name):
        found.append(("S6", f"it is parked, and {name} is not undone"))


def _check_compensated(
    planned: PlannedStep, walked: Walk, tally: EffectRules | None, found: Found
) -> None:
    name, status = planned.name, _status_of(planned, walked.saga.steps)
    harmless = planned.compensation is None and (planned.best_effort or planned.read_only)
    if status not in _UNDONE and not (harmless and status in _MAY_STAY):
        found.append(("S6", f"it is compensated, and {name} is {status}"))
    if tally is None or harmless or name in tally.unknown or name in walked.by_hand:
        return
    if (name, "action") in tally.applied and not tally.undid(name):
        found.append(("S6", f"it is compensated, and {name} is not undone"))


def _status_of(planned: PlannedStep, steps: Mapping[str, StepStatus]) -> StepStatus:
    return steps.get(planned.name, StepStatus.PENDING)
