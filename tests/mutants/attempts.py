"""Mutants of the decisions on an attempt: may it run, and what does its end mean?"""

from tests.mutants.mutant import Mutant, unit

__all__ = ["ATTEMPTS"]

_CLAIM = unit("claim", "operate", "probe", "table")
_CONCLUDE = unit("conclude", "advance", "operate", "probe", "table")


def _claim(name: str, old: str, new: str) -> Mutant:
    return Mutant(name, "sagas/decision/claim.py", old, new, _CLAIM)


def _conclude(name: str, old: str, new: str) -> Mutant:
    return Mutant(name, "sagas/decision/conclude.py", old, new, _CONCLUDE)


ATTEMPTS = (
    _claim(
        "an attempt is taken over before it is killed",
        "timeout_s + timing.grace_s + timing.lease_s",
        "timeout_s + timing.lease_s",
    ),
    _claim("a message of an older epoch runs", "if epoch != saga.epoch:", "if epoch > saga.epoch:"),
    _claim(
        "an action runs while the saga turns back",
        "if saga.status not in (FORWARD if operation is ACTION else {SagaStatus.COMPENSATING}):",
        "if saga.status in (SagaStatus.COMPLETED, SagaStatus.COMPENSATED, SagaStatus.FAILED):",
    ),
    _claim(
        "a task runs another one's step",
        "if task is None or (call is not None and call.task == task):",
        "if call is not None or task is None:",
    ),
    _claim("two workers hold one step", "if step.held:\n", "if step.held and not step.claim:\n"),
    _claim(
        "a step begins after the deadline",
        "if operation is ACTION and overdue(saga):",
        "if operation is COMPENSATION and overdue(saga):",
    ),
    _claim(
        "a step begins though the saga is to turn back",
        "(saga.failure or gave_up(step))",
        "gave_up(step)",
    ),
    _claim("a step that gave up begins again", "(saga.failure or gave_up(step))", "saga.failure"),
    _claim(
        "a step runs before its turn",
        "if current(saga, operation) != step.name:",
        "if current(saga, operation) is None:",
    ),
    _claim(
        "whoever comes early eats the attempts",
        "if saga.sent_at is None and _is_timed(saga, step, operation):",
        "if saga.sent_at is None and saga.failure:",
    ),
    _claim(
        "a message that seemed refused, and came, is dropped",
        "if saga.sent_at is None and _is_timed(saga, step, operation):",
        "if saga.sent_at is None:",
    ),
    _claim(
        "a settled step breaks its chain",
        "return Decision(Done())",
        'return Decision(Dropped("?"))',
    ),
    _claim(
        "a claim whose reply was lost is taken for another's",
        "if step.claim == token and step.held:",
        "if step.claim == token and not step.held:",
    ),
    _claim("the probe is never asked", "ask=step.doubtful and", "ask=step.held and"),
    _claim(
        "the action runs where only the probe is to be asked",
        "runs = operation is COMPENSATION or has_attempts_left(saga, step)",
        "runs = operation is COMPENSATION or not saga.failure",
    ),
    _claim(
        "a deadline applies past the pivot",
        "if saga.plan[step.name].pivot and operation is ACTION:",
        "if saga.plan[step.name].pivot and operation is COMPENSATION:",
    ),
    _claim(
        "the action's attempts count as the compensation's",
        "attempt = step.attempts(operation) + runs",
        "attempt = step.attempts(ACTION) + runs",
    ),
    _claim(
        "nobody looks when a timeout is over",
        '"due_at": expires_at or after(saga, timing.max_check_interval_s)',
        '"due_at": after(saga, timing.max_check_interval_s)',
    ),
    _conclude(
        "an attempt that was taken over settles the step",
        "if epoch != saga.epoch or step.claim != token:",
        "if epoch != saga.epoch:",
    ),
    _conclude(
        "an attempt of an older epoch settles the step",
        "if epoch != saga.epoch or step.claim != token:",
        "if step.claim != token:",
    ),
    _conclude(
        "there is no fence",
        "if epoch != saga.epoch or step.claim != token:",
        "if step.claim is None or token is None or epoch is None:",
    ),
    _conclude(
        "an outcome whose reply was lost is written twice",
        "if not step.held:  #",
        "if not step.claim:  #",
    ),
    _conclude(
        "a refusal forgets the attempts before it",
        "doubtful = step.doubtful or isinstance(result, Errored)",
        "doubtful = isinstance(result, Errored)",
    ),
    _conclude(
        "an attempt that broke leaves no doubt",
        "doubtful = step.doubtful or isinstance(result, Errored)",
        "doubtful = step.doubtful",
    ),
    _conclude(
        "an unknown outcome is written as none",
        "status = StepStatus.UNKNOWN if doubtful else StepStatus.FAILED",
        "status = StepStatus.FAILED",
    ),
    _conclude(
        "a probe's no before another attempt is the last word",
        "probed is not None and (probed.happened or step.probe_attempt > 0)",
        "probed is not None",
    ),
    _conclude("a cancelled saga's step is tried again", "if saga.failure:  #", "if not saga:  #"),
    _conclude(
        "a compensation has one attempt more than its policy says",
        "return step.compensation_attempt < policy.max_attempts",
        "return step.compensation_attempt <= policy.max_attempts",
    ),
    _conclude(
        "a best-effort step turns the saga back",
        "if operation is COMPENSATION or saga.failure or saga.plan[step.name].best_effort:",
        "if operation is COMPENSATION or saga.failure:",
    ),
    _conclude(
        "a cancel beneath a running step is forgotten",
        "if change.operation is ACTION and saga.failure:",
        "if change.operation is COMPENSATION and saga.failure:",
    ),
    _conclude(
        "a retry keeps the old epoch",
        "RetryLater(wait_s),\n        raise_epoch=True,",
        "RetryLater(wait_s),\n        raise_epoch=False,",
    ),
    _conclude(
        "a long wait lives in one worker's memory",
        "by_message = wait_s <= timing.timer_s",
        "by_message = wait_s >= 0",
    ),
    _conclude(
        "a compensation that waits counts as running",
        '"claim": None,\n            "retry_at": retry_at,',
        '"retry_at": retry_at,',
    ),
    _conclude(
        "the compensation has the action's number of attempts",
        "policy = call_of(saga, step.name, operation).retry",
        "policy = call_of(saga, step.name, ACTION).retry",
    ),
)
