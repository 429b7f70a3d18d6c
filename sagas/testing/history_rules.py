"""The rules of a saga's history, checked from the first entry to the last."""

from sagas.events import Event
from sagas.plan import PlannedStep
from sagas.record.queries import HistoryEntry
from sagas.retry import to_seconds
from sagas.states import FORWARD, SAGA_EDGES, STEP_EDGES, Operation, SagaStatus, StepStatus
from sagas.testing.model import BY_HAND, Observed

__all__ = ["Walk", "walk"]

Found = list[tuple[str, str]]

_OVER = frozenset({SagaStatus.COMPLETED, SagaStatus.COMPENSATED})
_SAGA = {str(status): status for status in SagaStatus}
_STEP = {str(status): status for status in StepStatus}
_UNDOING = str(Operation.COMPENSATION)

#: The edges of a step that only an operator may take.
_OPERATOR_EDGES = frozenset(
    {
        (StepStatus.UNKNOWN, StepStatus.UNKNOWN),
        (StepStatus.UNKNOWN, StepStatus.SKIPPED),
        (StepStatus.SUCCESS, StepStatus.SKIPPED),
        (StepStatus.FAILED, StepStatus.PENDING),
        (StepStatus.FAILED, StepStatus.SKIPPED),
        (StepStatus.COMPENSATION_FAILED, StepStatus.COMPENSATING),
        (StepStatus.COMPENSATION_FAILED, StepStatus.SKIPPED),
    }
)
#: A step with one of these statuses must be undone before any earlier step.
_TO_UNDO = frozenset(
    {StepStatus.SUCCESS, StepStatus.UNKNOWN, StepStatus.RUNNING, StepStatus.COMPENSATING}
)


def walk(saga: Observed, found: Found) -> "Walk":
    """Walk the history of a saga; add the rules that it breaks to *found*."""
    history = Walk(saga, found)
    for entry in saga.history:
        history.take(entry)
    history.compare_with_record()
    return history


class Walk:
    """The state of a saga and its steps after the entries taken so far.

    ``places`` maps each step to its place in the plan. ``attempted`` has the (step, operation) of
    every claim. ``by_hand`` has the steps that an operator skipped. ``resolved`` tells whether an
    operator ended the saga.
    """

    __slots__ = (
        "_attempts",
        "_blocked",
        "_claim_epoch",
        "_doubtful",
        "_epoch",
        "_given_up",
        "_lost",
        "_operator_epoch",
        "_parked_epochs",
        "_passed_pivot",
        "_postponed",
        "_probed_only",
        "attempted",
        "by_hand",
        "found",
        "places",
        "resolved",
        "saga",
        "status",
        "steps",
    )

    def __init__(self, saga: Observed, found: Found) -> None:
        self.saga = saga
        self.found = found
        self.status: SagaStatus | None = None
        self.steps: dict[str, StepStatus] = {}
        self.attempted: set[tuple[str, str]] = set()
        self.by_hand: set[str] = set()
        self.resolved = False
        self.places = {step.name: place for place, step in enumerate(saga.plan.steps)}
        self._epoch = 1
        self._claim_epoch = 0
        self._operator_epoch = 0  # the epoch of an operator's last command
        self._passed_pivot: str | None = None  # the pivot, once it has succeeded or been skipped
        self._parked_epochs: list[int] = []
        self._blocked = False  # while it is blocked, resends leave no entry
        self._given_up: set[str] = set()
        self._doubtful: set[str] = set()
        self._attempts: dict[str, int | None] = {}
        self._lost: dict[str, int] = {}  # how many of them, with their worker
        self._postponed: dict[str, int] = {}  # how many of them, by the participant
        self._probed_only: set[str] = set()

    def take(self, entry: HistoryEntry) -> None:
        """Take the next entry."""
        if entry.epoch < self._epoch:
            self._add("S10", f"{_describe(entry)} has epoch {entry.epoch}, after {self._epoch}")
        else:
            self._epoch = entry.epoch
        self._blocked = entry.event == Event.BLOCKED
        if entry.step is not None:
            self._take_step(entry, entry.step)
        elif entry.event in _SAGA:
            self._take_status(entry, _SAGA[entry.event])
        else:
            self._take_note(entry)

    def compare_with_record(self) -> None:
        """Compare the end of the history with the record's current state."""
        saga = self.saga
        if self.status is not saga.status:
            self._add("S2", f"it is {saga.status}, but its history ends with {self.status}")
        if self.steps != saga.steps:
            for name in sorted(self.steps.keys() | saga.steps.keys()):
                self._compare_step(name)
        if self._epoch != saga.epoch and not (self._blocked and self._epoch < saga.epoch):
            self._add("S10", f"it is at epoch {saga.epoch}, but its history is at {self._epoch}")
        if sorted(self._parked_epochs) != sorted(saga.alerts):
            parked, alerts = self._parked_epochs, sorted(saga.alerts)
            self._add("S12", f"it was parked in epochs {parked}, but raised alerts in {alerts}")

    def _compare_step(self, name: str) -> None:
        here = self.saga.steps.get(name, StepStatus.PENDING)
        last = self.steps.get(name, StepStatus.PENDING)
        if name not in self.places:
            self._add("S14", f"{name} is {here}, but is not in the plan")
        elif here is not last:
            self._add("S2", f"{name} is {here}, but its history ends with {last}")

    def _add(self, rule: str, text: str) -> None:
        self.found.append((rule, text))

    def _take_note(self, entry: HistoryEntry) -> None:
        if entry.event == Event.TAKEN_OVER and entry.epoch <= self._claim_epoch:
            self._add("S10", "an attempt was taken over, but the epoch was not raised")
        if entry.event in BY_HAND and self.status is SagaStatus.FAILED:
            self._operator_epoch = entry.epoch
            self.resolved = entry.event == Event.RESOLVED
        elif self.status in _OVER or self.status is SagaStatus.FAILED:
            self._add("S2", f"{_describe(entry)} follows {self.status}")

    def _take_status(self, entry: HistoryEntry, to: SagaStatus) -> None:
        before, self.status = self.status, to
        if before is None:
            if to is not SagaStatus.STARTED:
                self._add("S2", f"its history begins with {to}")
        elif before in _OVER and to in _OVER and before is not to:
            self._add("S3", f"it was {before}, then {to}")
        elif to not in SAGA_EDGES[before]:
            self._add("S2", f"no edge leads from {before} to {to}")
        elif before is SagaStatus.FAILED and entry.epoch != self._operator_epoch:
            self._add("S2", f"{to} follows {before} without an operator")
        if to is SagaStatus.FAILED:
            self._parked_epochs.append(entry.epoch)
            self._take_parking(back=before is SagaStatus.COMPENSATING)
        elif to is SagaStatus.COMPENSATING:
            if passed := self._passed_pivot or self._pivot_in_doubt():
                self._add("S6", f"it turned back past its pivot {passed}")
            if entry.epoch <= self._claim_epoch:
                self._add("S10", "it turned back in the epoch of an attempt")

    def _take_parking(self, *, back: bool) -> None:
        if not back and not (self._passed_pivot or self._pivot_in_doubt()):
            self._add("S6", "it was parked, but could have turned back")
        for planned in self.saga.plan.steps if back else ():
            if planned.compensation is not None and self.steps.get(planned.name) in _TO_UNDO:
                self._add("S6", f"it was parked before {planned.name} was undone")

    def _pivot_in_doubt(self) -> str | None:
        """Return the pivot if it is running, or may have happened and cannot be undone."""
        planned = self.saga.plan.pivot
        if planned is None:
            return None
        status = self.steps.get(planned.name)
        final = planned.compensation is None
        in_doubt = status is StepStatus.RUNNING or (status is StepStatus.UNKNOWN and final)
        return planned.name if in_doubt else None

    def _take_step(self, entry: HistoryEntry, name: str) -> None:
        if name not in self.places or entry.event not in _STEP:
            wrong = "S2" if name in self.places else "S14"
            self._add(wrong, f"{_describe(entry)} is not an event of a step in the plan")
            return
        before, to = self.steps.get(name, StepStatus.PENDING), _STEP[entry.event]
        self.steps[name] = to
        by_hand = (before, to) in _OPERATOR_EDGES
        if before is StepStatus.PENDING and to is StepStatus.SKIPPED and self.attempted:
            self._add("S2", f"{name} was skipped after the start, without an operator")
        if before is StepStatus.RUNNING and entry.attempt != self._attempts.get(name):
            text = f"{_describe(entry)} is of attempt {entry.attempt}, which was not running"
            self._add("S10", text)
        if to not in STEP_EDGES[before]:
            self._add("S2", f"{name}: no edge leads from {before} to {to}")
        elif self.status in _OVER:
            self._add("S2", f"{_describe(entry)} follows {self.status}")
        elif by_hand and entry.epoch != self._operator_epoch:
            self._add("S2", f"{name} went from {before} to {to} without an operator")
        if "postponed_s" in (entry.detail or {}):
            self._take_postponement(entry, name)
        if by_hand:
            self._take_operator_edge(entry, name, to)
        elif entry.operation == _UNDOING:
            self._take_compensation(entry, name, to)
        else:
            self._take_action(entry, name, to)

    def _take_operator_edge(self, entry: HistoryEntry, name: str, to: StepStatus) -> None:
        self._attempts[name] = entry.attempt
        self._lost.pop(name, None)
        self._postponed.pop(name, None)
        self._given_up.discard(name)
        if to is StepStatus.SKIPPED:
            self.by_hand.add(name)
            self._doubtful.discard(name)
            if entry.operation != _UNDOING and self._planned(name).pivot:
                self._passed_pivot = name

    def _take_action(self, entry: HistoryEntry, name: str, to: StepStatus) -> None:
        if self.status not in FORWARD and self.status not in _OVER:
            self._add("S3", f"{_describe(entry)} while it was {self.status}")
        match to:
            case StepStatus.RUNNING:
                self._claim(entry, name)
            case StepStatus.SUCCESS:
                self._doubtful.discard(name)
                if self._planned(name).pivot:
                    self._passed_pivot = name
            case StepStatus.UNKNOWN:
                self._doubtful.add(name)
                self._lost[name] = (entry.detail or {}).get("losses", self._lost.get(name, 0))
                if "retry_in_s" not in (entry.detail or {}):
                    self._given_up.add(name)
            case StepStatus.FAILED | StepStatus.PENDING if name in self._doubtful:
                if not self._ruled_out(entry, name):
                    what = f"{name} is {to}, though an earlier attempt may have happened"
                    self._add("S11", what)
                self._doubtful.discard(name)  # settled, even if an operator retries the step

    def _take_postponement(self, entry: HistoryEntry, name: str) -> None:
        detail, planned = entry.detail or {}, self._planned(name)
        call = planned.compensation if entry.operation == _UNDOING else planned.action
        if call is planned.action:
            self._postponed[name] = detail["postponements"]
        if call is None or detail["postponed_s"] > to_seconds(call.retry.max_postponed):
            waits = f"{_describe(entry)} waits {detail['postponed_s']} s in all"
            self._add("S9", f"{waits}, more than its plan allows")

    def _claim(self, entry: HistoryEntry, name: str) -> None:
        self.attempted.add((name, "action"))
        self._claim_epoch = entry.epoch
        uncounted = self._lost.get(name, 0) + self._postponed.get(name, 0)
        attempts = (entry.attempt or 0) - uncounted
        if attempts > self._planned(name).action.retry.max_attempts:
            text = f"{_describe(entry)} is attempt {entry.attempt}, more than its plan allows"
            self._add("S9", text)
        if self._attempts.get(name) == entry.attempt:
            self._probed_only.add(name)
        else:
            self._probed_only.discard(name)
        self._attempts[name] = entry.attempt
        for planned in self.saga.plan.steps[: self.places[name]]:
            if not self._is_settled(planned):
                self._add("S9", f"{name} ran before {planned.name} was settled")

    def _ruled_out(self, entry: HistoryEntry, name: str) -> bool:
        # The probe's answer counts only if no attempt ran after it.
        return name in self._probed_only and (entry.detail or {}).get("probe") is False

    def _is_settled(self, planned: PlannedStep) -> bool:
        status = self.steps.get(planned.name)
        if status is StepStatus.SUCCESS or status is StepStatus.SKIPPED:
            return True
        gave_up = status is StepStatus.UNKNOWN and planned.name in self._given_up
        return planned.best_effort and (gave_up or status is StepStatus.FAILED)

    def _take_compensation(self, entry: HistoryEntry, name: str, to: StepStatus) -> None:
        if self.status is not SagaStatus.COMPENSATING and self.status not in _OVER:
            self._add("S3", f"{_describe(entry)} while it was {self.status}")
        if to is not StepStatus.COMPENSATING:
            return
        self.attempted.add((name, _UNDOING))
        for later in self.saga.plan.steps[self.places[name] + 1 :]:
            if later.compensation is not None and self.steps.get(later.name) in _TO_UNDO:
                self._add("S8", f"{name} was undone before {later.name}")

    def _planned(self, name: str) -> PlannedStep:
        return self.saga.plan.steps[self.places[name]]


def _describe(entry: HistoryEntry) -> str:
    return entry.event if entry.step is None else f"{entry.event} of {entry.step}"
