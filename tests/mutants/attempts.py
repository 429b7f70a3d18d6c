"""Mutants of the decisions about an attempt: may it run, and what does its end mean?"""

from functools import partial

from tests.mutants.mutant import Mutant, unit

__all__ = ["ATTEMPTS"]

_claim = partial(Mutant, tests=unit("claim", "operate", "probe", "table"))
_conclude = partial(Mutant, tests=unit("conclude", "advance", "operate", "probe", "table"))

_postpone = partial(Mutant, tests=unit("postpone"))

_NOT_MINE = "epoch != saga.epoch or step.claim != token"
_TO_TURN_BACK = "saga.failure or gave_up(step)"
_EARLY = "saga.sent_at is None and _is_timed(saga, step, operation)"
_IN_DOUBT = "step.doubtful or isinstance(result, Errored)"

ATTEMPTS = (
    _claim(
        "an attempt is taken over before it is killed",
        "_grant",
        "timeout_s + timing.grace_s + timing.lease_s",
        "timeout_s + timing.lease_s",
    ),
    _claim(
        "a message of an older epoch runs", "_void", "epoch != saga.epoch", "epoch > saga.epoch"
    ),
    _claim(
        "an action runs while the saga is turning back",
        "_void",
        "saga.status not in (FORWARD if operation is ACTION else {SagaStatus.COMPENSATING})",
        "saga.status in (SagaStatus.COMPLETED, SagaStatus.COMPENSATED, SagaStatus.FAILED)",
    ),
    _claim(
        "a task runs another task's step",
        "_astray",
        "task is None or (call is not None and call.task == task)",
        "call is not None or task is None",
    ),
    _claim("two workers hold one step", "_not_now", "step.held", "step.held and not step.claim"),
    _claim(
        "a step begins after the deadline",
        "_not_now",
        "operation is ACTION and overdue(saga)",
        "operation is COMPENSATION and overdue(saga)",
    ),
    _claim(
        "a step begins although the saga must turn back",
        "_not_now",
        _TO_TURN_BACK,
        "gave_up(step)",
    ),
    _claim("a step that gave up begins again", "_not_now", _TO_TURN_BACK, "saga.failure"),
    _claim(
        "a step runs before its turn",
        "_not_now",
        "current(saga, operation) != step.name",
        "current(saga, operation) is None",
    ),
    _claim(
        "an early message uses up an attempt",
        "_not_now",
        _EARLY,
        "saga.sent_at is None and saga.failure",
    ),
    _claim(
        "a message that seemed refused is dropped when it arrives",
        "_not_now",
        _EARLY,
        "saga.sent_at is None",
    ),
    _claim(
        "a settled step breaks its chain",
        "claim",
        "return Decision(Done())",
        'return Decision(Dropped("?"))',
    ),
    _claim(
        "a repeated claim is taken for another execution's claim",
        "claim",
        "step.claim == token and step.held",
        "step.claim == token and not step.held",
    ),
    _claim(
        "the probe is never asked",
        "_granted",
        "step.doubtful and saga.plan[step.name].probe",
        "step.held and saga.plan[step.name].probe",
    ),
    _claim(
        "the action runs when only the probe may be asked",
        "_grant",
        "operation is COMPENSATION or has_attempts_left(saga, step)",
        "operation is COMPENSATION or not saga.failure",
    ),
    _claim(
        "a deadline applies past the pivot",
        "_grant",
        "saga.plan[step.name].pivot and operation is ACTION",
        "saga.plan[step.name].pivot and operation is COMPENSATION",
    ),
    _claim(
        "the attempts of the action count for the compensation",
        "_grant",
        "step.attempts(operation)",
        "step.attempts(ACTION)",
    ),
    _claim(
        "no check is due when a timeout is over",
        "_grant",
        "expires_at or after(saga, timing.max_check_interval_s)",
        "after(saga, timing.max_check_interval_s)",
    ),
    _conclude(
        "a taken-over attempt settles the step",
        "conclude",
        _NOT_MINE,
        "epoch != saga.epoch",
    ),
    _conclude(
        "an attempt of an older epoch settles the step",
        "conclude",
        _NOT_MINE,
        "step.claim != token",
    ),
    _conclude(
        "there is no fence",
        "conclude",
        _NOT_MINE,
        "step.claim is None or token is None or epoch is None",
    ),
    _conclude(
        "an outcome whose reply was lost is written twice",
        "conclude",
        "not step.held",
        "not step.claim",
    ),
    _conclude(
        "a refusal forgets earlier attempts",
        "_failure",
        _IN_DOUBT,
        "isinstance(result, Errored)",
    ),
    _conclude("an attempt that errored leaves no doubt", "_failure", _IN_DOUBT, "step.doubtful"),
    _conclude(
        "an unknown outcome is recorded as no effect",
        "_failure",
        "StepStatus.UNKNOWN if doubtful else StepStatus.FAILED",
        "StepStatus.FAILED",
    ),
    _conclude(
        "a probe's no is final although another attempt followed",
        "_has_last_word",
        "probed is not None and (probed.happened or step.probe_attempt > 0)",
        "probed is not None",
    ),
    _conclude(
        "a step of a cancelled saga is retried",
        "_tried_again",
        "saga.failure",
        "not saga",
    ),
    _conclude(
        "the losses of the action count for its compensation",
        "_tried_again",
        "has_attempts_left(saga, step, operation)",
        "has_attempts_left(saga, step)",
    ),
    _conclude(
        "a probe that is lost with its worker gives the action another attempt",
        "_with_loss",
        "step.probe_attempt",
        "step.probe_attempt > step.attempt",
    ),
    _conclude(
        "a lost attempt is not counted as lost",
        "settle",
        "isinstance(result, Errored) and result.lost",
        "isinstance(result, Errored) and result.final",
    ),
    _conclude(
        "losses slow down the retries of a step that errors",
        "_waits",
        "step.lost(operation) if result.lost else step.counted(operation)",
        "step.attempts(operation)",
    ),
    _conclude(
        "a best-effort step turns the saga back",
        "_failed_for_good",
        "operation is COMPENSATION or saga.failure or saga.plan[step.name].best_effort",
        "operation is COMPENSATION or saga.failure",
    ),
    _conclude(
        "a cancel during a running step is forgotten",
        "_after_step",
        "change.operation is ACTION and saga.failure",
        "change.operation is COMPENSATION and saga.failure",
    ),
    _conclude("a retry keeps the old epoch", "run_again", "raise_epoch = True", ""),
    _conclude(
        "a long wait is kept only in the memory of one worker",
        "run_again",
        "wait_s <= timing.timer_s",
        "wait_s >= 0",
    ),
    _conclude(
        "a waiting compensation counts as running",
        "run_again",
        '{**change.values, "claim": None, "retry_at": retry_at}',
        '{**change.values, "retry_at": retry_at}',
    ),
    _postpone(
        "a postponed attempt uses up the policy's",
        "StepState.counted",
        "self.attempts(operation) - self.lost(operation) - self.postponed(operation)[0]",
        "self.attempts(operation) - self.lost(operation)",
    ),
    _postpone(
        "a postponement settles what an earlier attempt did",
        "postponed",
        "StepStatus.UNKNOWN if step.doubtful else StepStatus.PENDING",
        "StepStatus.PENDING",
    ),
    _postpone(
        "a postponed probe gives the action another attempt",
        "postponed",
        "operation is ACTION and step.probe_attempt",
        "operation is COMPENSATION and step.probe_attempt",
    ),
    _postpone(
        "a participant may postpone its step for ever",
        "bounded",
        "waited_s + result.wait_s > at_most or waited_s + _counted_s(result.wait_s) > at_most",
        "result.wait_s > at_most",
    ),
    _postpone(
        "a participant may postpone its step for ever by short waits",
        "bounded",
        "max(result.wait_s, SHORTEST_S)",
        "result.wait_s",
    ),
    _postpone(
        "a postponed step of a cancelled saga is waited for",
        "bounded",
        "operation is ACTION and saga.failure",
        "operation is COMPENSATION and saga.failure",
    ),
    _conclude(
        "the compensation has as many attempts as the action",
        "has_attempts_left",
        "call_of(saga, step.name, operation)",
        "call_of(saga, step.name, ACTION)",
    ),
)
