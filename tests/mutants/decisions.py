"""Mutants of the decisions on a saga: move it on, turn it back, do what a person asks, wait."""

from tests.mutants.mutant import Mutant, unit

__all__ = ["DECISIONS"]

_MOVE_ON = unit("advance", "operate")
_ORDER = unit("claim", "conclude", "operate")
_TURN_BACK = unit("advance", "pivot")
_OPERATE = unit("operate")
_WAITING = unit("blocked")


def _advance(name: str, old: str, new: str) -> Mutant:
    return Mutant(name, "sagas/decision/advance.py", old, new, _MOVE_ON)


def _order(name: str, old: str, new: str) -> Mutant:
    return Mutant(name, "sagas/decision/progress.py", old, new, _ORDER)


def _turn(name: str, old: str, new: str) -> Mutant:
    return Mutant(name, "sagas/decision/turn_back.py", old, new, _TURN_BACK)


def _operate(name: str, old: str, new: str) -> Mutant:
    return Mutant(name, "sagas/decision/operate.py", old, new, _OPERATE)


def _waiting(name: str, old: str, new: str) -> Mutant:
    return Mutant(name, "sagas/decision/blocked.py", old, new, _WAITING)


DECISIONS = (
    _advance(
        "a take-over keeps the old epoch",
        'replace(decision, raise_epoch=True, note="taken over")',
        'replace(decision, note="taken over")',
    ),
    _advance(
        "the living are taken over",
        "if alive(step) and not expired:",
        "if alive(step) and expired:",
    ),
    _advance("a timeout takes nothing over", "if alive(step) and not expired:", "if alive(step):"),
    _advance(
        "a message that is sent again keeps the old epoch",
        'raise_epoch=True,\n        values={**values, "sent_at": saga.now},',
        'raise_epoch=False,\n        values={**values, "sent_at": saga.now},',
    ),
    _advance(
        "a backoff is cut short",
        "if backs_off(saga, step, operation):",
        "if not backs_off(saga, step, operation) and step.retry_at:",
    ),
    _advance(
        "a deadline passes unnoticed",
        "if overdue(saga) and not saga.failure:",
        "if overdue(saga) and saga.failure:",
    ),
    _advance(
        "a message that only waits is sent again",
        "if saga.sent_at is not None and not lost:",
        "if saga.sent_at is None and not lost:",
    ),
    _advance(
        "a long queue is asked about as often as a short one",
        "min(saga.checks + 1, 10)",
        "min(saga.checks, 0)",
    ),
    _order(
        "what may have happened is not undone",
        "never_ran = (StepStatus.PENDING, StepStatus.SKIPPED, StepStatus.FAILED)",
        "never_ran = (StepStatus.PENDING, StepStatus.SKIPPED, StepStatus.FAILED, "
        "StepStatus.UNKNOWN)",
    ),
    _order(
        "compensations run forwards",
        "for step in reversed(saga.plan.steps)",
        "for step in saga.plan.steps",
    ),
    _order(
        "a failed compensation is called compensated",
        "if step.status is StepStatus.COMPENSATION_FAILED:\n        return True",
        "if step.status is StepStatus.COMPENSATION_FAILED:\n        return False",
    ),
    _order(
        "what nothing can undo is called compensated",
        "in (StepStatus.SUCCESS, StepStatus.UNKNOWN) and not harmless",
        "in (StepStatus.PENDING, StepStatus.FAILED) and not harmless",
    ),
    _order(
        "a failed compensation stops the others",
        "in (StepStatus.COMPENSATED, StepStatus.COMPENSATION_FAILED)",
        "in (StepStatus.COMPENSATED, StepStatus.SKIPPED)",
    ),
    _order(
        "a step whose retry is planned has given up",
        "step.status is StepStatus.UNKNOWN and step.retry_at is None",
        "step.status is StepStatus.UNKNOWN",
    ),
    _order(
        "an action has one attempt more than its policy says",
        "return step.attempt < call_of(saga, step.name, ACTION).retry.max_attempts",
        "return step.attempt <= call_of(saga, step.name, ACTION).retry.max_attempts",
    ),
    *(
        Mutant(
            f"an attempt planned for the action delays {what}",
            "sagas/decision/progress.py",
            "own = operation is ACTION or step.status is StepStatus.COMPENSATING",
            "own = True",
            unit(tests),
        )
        for what, tests in (("the message of its undo", "advance"), ("its undo", "claim"))
    ),
    _order(
        "nobody looks when a deadline passes",
        "if deadline is None or due is None or due <= deadline:",
        "if deadline is None or due is None or due >= deadline:",
    ),
    _turn(
        "there is a way back past the pivot",
        "if _is_passed(pivot) or in_doubt:",
        "if in_doubt:",
    ),
    _turn(
        "a pivot in doubt is turned back from",
        "if _is_passed(pivot) or in_doubt:",
        "if _is_passed(pivot):",
    ),
    _turn(
        "a pivot that a person took on is not passed",
        "pivot.status is StepStatus.SUCCESS or skipped_by_hand",
        "pivot.status is StepStatus.SUCCESS",
    ),
    _turn(
        "a turn-back keeps the old epoch",
        "path=(SagaStatus.COMPENSATING,),\n        raise_epoch=True,",
        "path=(SagaStatus.COMPENSATING,),\n        raise_epoch=False,",
    ),
    _operate(
        "a cancel races with the running step",
        "if running is not None and saga.step(running).held:",
        "if running is not None and not saga.step(running).held:",
    ),
    _operate(
        "a cancel is taken past the pivot",
        "if may_have_passed_pivot(saga):",
        "if may_have_passed_pivot(saga) and saga.failure:",
    ),
    _operate(
        "a person's retry has no attempts left",
        'values["compensation_attempt"] = 0',
        'values["compensation_attempt"] = step.compensation_attempt',
    ),
    _operate(
        "a person's retry forgets that it may have happened",
        "StepStatus.UNKNOWN if step.status is StepStatus.UNKNOWN else StepStatus.PENDING",
        "StepStatus.PENDING",
    ),
    _operate(
        "a retried saga still means to turn back",
        'values["failure"] = None  # the history keeps it',
        'values["failure"] = saga.failure',
    ),
    _operate(
        "a person skips what the saga is not stuck at",
        "if step not in steps:",
        "if not steps:",
    ),
    _waiting(
        "nobody is told that a saga waits",
        "resends = saga.resends + 1",
        "resends = max(saga.resends, 1)",
    ),
    _waiting("people are told at each message", "if saga.blocked:\n", "if not saga.plan:\n"),
    _waiting(
        "a message that is sent again ends the wait",
        "if (saga.resends or saga.blocked) and (decision.steps or decision.path):",
        "if (saga.resends or saga.blocked) and values:",
    ),
    _waiting(
        "a saga waits on after it was claimed",
        'values |= {"resends": 0, "blocked": None}',
        'values |= {"resends": 0}',
    ),
    _waiting(
        "a void message ends the stumbling",
        "if saga.failed_sweeps and (values or decision.steps or decision.path):",
        "if saga.failed_sweeps:",
    ),
    _waiting(
        "a sweep that stumbled once forgets the missing worker",
        'if saga.blocked and "task" not in saga.blocked:',
        "if saga.blocked:",
    ),
)
