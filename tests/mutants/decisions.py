"""Mutants of the decisions about a saga: advance it, turn it back, obey an operator, block it."""

from functools import partial

from tests.mutants.mutant import Mutant, unit

__all__ = ["DECISIONS"]

_advance = partial(Mutant, tests=unit("advance", "operate"))
_progress = partial(Mutant, tests=unit("claim", "conclude", "operate"))
_turn_back = partial(Mutant, tests=unit("advance", "pivot"))
_operate = partial(Mutant, tests=unit("operate"))
_blocked = partial(Mutant, tests=unit("blocked"))
_patience = partial(Mutant, tests=unit("patience"))
_failing = partial(Mutant, tests=unit("failing"))
_fold = partial(Mutant, tests=unit("transition"))

_LIVES = "alive(step) and not expired"
_NO_WAY = "_is_passed(pivot) or in_doubt"

_PROGRESS = (
    _progress(
        "a step that may have happened is not undone",
        "_needs_undo",
        "(StepStatus.PENDING, StepStatus.SKIPPED, StepStatus.FAILED)",
        "(StepStatus.PENDING, StepStatus.SKIPPED, StepStatus.FAILED, StepStatus.UNKNOWN)",
    ),
    _progress(
        "compensations run in the order of the actions",
        "_in_order",
        "reversed(saga.plan.steps)",
        "saga.plan.steps",
    ),
    _progress(
        "a saga with a failed compensation is compensated",
        "_is_left_behind",
        "return True",
        "return False",
    ),
    _progress(
        "a saga with a step that nothing can undo is compensated",
        "_is_left_behind",
        "(StepStatus.SUCCESS, StepStatus.UNKNOWN)",
        "(StepStatus.PENDING, StepStatus.FAILED)",
    ),
    _progress(
        "a failed compensation stops the others",
        "settled",
        "(StepStatus.COMPENSATED, StepStatus.COMPENSATION_FAILED)",
        "(StepStatus.COMPENSATED, StepStatus.SKIPPED)",
    ),
    _progress(
        "a step with a planned retry has given up",
        "gave_up",
        "step.status is StepStatus.UNKNOWN and step.retry_at is None",
        "step.status is StepStatus.UNKNOWN",
    ),
    _progress(
        "an action has one attempt more than its policy allows",
        "has_attempts_left",
        "step.counted(operation) < policy.max_attempts",
        "step.counted(operation) <= policy.max_attempts",
    ),
    _progress(
        "an attempt lost with its worker uses up the policy's attempts",
        "StepState.counted",
        "self.attempts(operation) - self.lost(operation) - self.postponed(operation)[0]",
        "self.attempts(operation) - self.postponed(operation)[0]",
    ),
    _progress(
        "a step that kills its worker each time never ends",
        "has_attempts_left",
        "lost < policy.max_losses",
        "lost < policy.max_losses or lost",
    ),
    *(
        Mutant(
            f"an attempt planned for the action delays {what}",
            "backs_off",
            "operation is ACTION or step.status is StepStatus.COMPENSATING",
            "True",
            unit(tests),
        )
        for what, tests in (
            ("the message of its compensation", "advance"),
            ("its compensation", "claim"),
        )
    ),
)

_TURN_BACK = (
    _turn_back("there is a way back past the pivot", "_no_way_back", _NO_WAY, "in_doubt"),
    _turn_back(
        "a saga turns back from a pivot in doubt", "_no_way_back", _NO_WAY, "_is_passed(pivot)"
    ),
    _turn_back(
        "a pivot that an operator skipped is not passed",
        "_is_passed",
        "pivot.status is StepStatus.SUCCESS or skipped_by_hand",
        "pivot.status is StepStatus.SUCCESS",
    ),
    _turn_back(
        "a turn-back keeps the old epoch",
        "turn_back",
        "path = (SagaStatus.COMPENSATING,)\nraise_epoch = True",
        "path = (SagaStatus.COMPENSATING,)",
    ),
    _turn_back(
        "a turn-back with nothing to undo keeps the old epoch",
        "turn_back",
        "path = path\nraise_epoch = True",
        "path = path",
    ),
)

_OPERATE = (
    _operate(
        "a cancel races with the running step",
        "cancel",
        "running is not None and saga.step(running).held",
        "running is not None and not saga.step(running).held",
    ),
    _operate(
        "a cancel is accepted past the pivot",
        "_too_late",
        "may_have_passed_pivot(saga)",
        "may_have_passed_pivot(saga) and saga.failure",
    ),
    _operate(
        "an operator's retry starts without attempts",
        "_start_over",
        '{"compensation_attempt": 0, "compensation_losses": 0}',
        '{"compensation_losses": 0}',
    ),
    _operate(
        "an operator's retry starts with the losses of before",
        "_start_over",
        '{"attempt": 0, "probe_attempt": 0, "losses": 0}',
        '{"attempt": 0, "probe_attempt": 0}',
    ),
    _operate(
        "an operator's retry forgets that the step may have happened",
        "_start_over",
        "StepStatus.UNKNOWN if step.status is StepStatus.UNKNOWN else StepStatus.PENDING",
        "StepStatus.PENDING",
    ),
    _operate(
        "a retried saga still turns back",
        "_unparked",
        'values["failure"] = None',
        'values["failure"] = saga.failure',
    ),
    _operate(
        "an operator skips a step at which the saga is not stuck",
        "skip",
        'step not in parked["steps"]',
        'not parked["steps"]',
    ),
)

_PATIENCE = (
    _patience("patience never ends", "is_over", "saga.sent_at is None", "True"),
    _patience(
        "copies are sent at an even pace",
        "is_over",
        "2.0 ** min(saga.copies, _DOUBLINGS)",
        "1",
    ),
    _patience(
        "a message whose turn will come is sent twice",
        "is_over",
        "saga.sent_at is None or not evidence.silent or evidence.unconsumed is not None",
        "saga.sent_at is None or evidence.unconsumed is not None",
    ),
    _patience(
        "copies fill a queue that nobody consumes",
        "is_over",
        "saga.sent_at is None or not evidence.silent or evidence.unconsumed is not None",
        "saga.sent_at is None or not evidence.silent",
    ),
    _patience("a copy makes the message void that only waits", "copied", "raise_epoch = False", ""),
    _patience(
        "patience stays doubled after progress",
        "_with_progress",
        "saga.copies and (decision.steps or decision.path)",
        "saga.copies and not values",
    ),
)

_BLOCKED = (
    _blocked(
        "nobody is told that a saga is blocked",
        "sent_again",
        "saga.resends + 1",
        "max(saga.resends, 1)",
    ),
    _blocked("people are told at each resend", "sent_again", "saga.blocked", "not saga.plan"),
    _blocked(
        "a resent message unblocks the saga",
        "_with_progress",
        "(saga.resends or saga.blocked) and (decision.steps or decision.path)",
        "(saga.resends or saga.blocked) and values",
    ),
    _blocked(
        "a saga stays blocked after a claim",
        "_with_progress",
        'values |= {"resends": 0, "blocked": None}',
        'values |= {"resends": 0}',
    ),
    _blocked(
        "a void message resets the failed sweeps",
        "_with_progress",
        "saga.failed_sweeps and (values or decision.steps or decision.path)",
        "saga.failed_sweeps",
    ),
    _blocked(
        "a failed sweep forgets the missing worker",
        "_with_progress",
        'saga.blocked and "task" not in saga.blocked',
        "saga.blocked",
    ),
)

_FOLD = (
    _fold(
        "a column that no decision may write is dropped silently",
        "_refuse_unknown",
        "values.keys() - known",
        "()",
    ),
    _fold("a parked saga raises no alert", "Transition.alert", 'return "parked"', "return None"),
    _fold(
        "a blocked saga raises no alert",
        "Transition.alert",
        'self.decision.values.get("blocked")',
        "False",
    ),
    _failing(
        "nobody is told that a step keeps failing",
        "Transition.alert",
        '"failing" if self.decision.failing else None',
        "None",
    ),
    _failing(
        "people are told of each failure of a long policy",
        "keeps_failing",
        "failures != min(at_most // 2, FAILURES_TO_ALERT)",
        "failures < min(at_most // 2, FAILURES_TO_ALERT)",
    ),
    _failing(
        "a lost attempt tells people once more",
        "_retried",
        "None if result.lost else keeps_failing(saga, step, operation, result.error)",
        "keeps_failing(saga, step, operation, result.error)",
    ),
    _fold(
        "a saga takes an undeclared edge",
        "_apply",
        "following not in SAGA_EDGES[status]",
        "following not in SAGA_EDGES",
    ),
    _fold(
        "a step takes an undeclared edge",
        "_apply_change",
        "change.status not in STEP_EDGES[before]",
        "change.status not in STEP_EDGES",
    ),
)

DECISIONS = (
    _advance(
        "a take-over keeps the old epoch",
        "_held",
        "raise_epoch = True\nnote = Event.TAKEN_OVER",
        "note = Event.TAKEN_OVER",
    ),
    _advance("the step of a live worker is taken over", "_held", _LIVES, "alive(step) and expired"),
    _advance(
        "an attempt that its timeout ended counts as lost with its worker",
        "_timed_out",
        "step.expires_at is None or not step.attended",
        "step.expires_at is None or step.attended",
    ),
    _advance(
        "a timeout that passed while no worker lived uses up an attempt",
        "_timed_out",
        "step.expires_at is None or not step.attended",
        "step.expires_at is None",
    ),
    _advance("a timeout leads to no take-over", "_held", _LIVES, "alive(step)"),
    _advance("a resent message keeps the old epoch", "_awaiting", "raise_epoch = True", ""),
    _advance(
        "a backoff is cut short",
        "_awaiting",
        "backs_off(saga, step, operation)",
        "not backs_off(saga, step, operation) and step.retry_at",
    ),
    _advance(
        "a deadline passes unnoticed",
        "advance",
        "overdue(saga) and not saga.failure",
        "overdue(saga) and saga.failure",
    ),
    _advance(
        "a message that only waits is resent",
        "_awaiting",
        "saga.sent_at is not None and not lost",
        "saga.sent_at is None and not lost",
    ),
    _advance(
        "checks of a long queue are as frequent as those of a short one",
        "_awaiting",
        "min(saga.checks + 1, 10)",
        "min(saga.checks, 0)",
    ),
    *_PROGRESS,
    *_TURN_BACK,
    *_OPERATE,
    *_PATIENCE,
    *_BLOCKED,
    *_FOLD,
    Mutant(
        "no check is due when a deadline passes",
        "_due_by_deadline",
        "deadline is None or due is None or due <= deadline",
        "deadline is None or due is None or due >= deadline",
        unit("claim", "conclude", "operate"),
    ),
)
