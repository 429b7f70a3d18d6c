"""What operators do to sagas: conditional writes, with who and why in the history."""

from dataclasses import replace
from uuid import UUID

from sagas import decision, faults
from sagas.decision import Decide, Declined, Resolved, SagaState
from sagas.errors import ActionDeclined, SagaNotFound
from sagas.runtime.app import Runtime
from sagas.runtime.messages import Chain
from sagas.states import SagaStatus

__all__ = ["cancel", "resolve", "retry", "skip"]


def cancel(runtime: Runtime, saga_id: UUID, *, reason: str, by: str) -> None:
    """Turn a saga back."""
    timing = runtime.timing

    def decide(saga: SagaState) -> decision.Decision:
        return decision.cancel(saga, reason=reason, timing=timing)

    _act(runtime, saga_id, decide, "cancelled", why=reason, by=by)


def retry(runtime: Runtime, saga_id: UUID, *, note: str | None, by: str) -> None:
    """Try the failed steps of a parked saga again."""
    timing = runtime.timing

    def decide(saga: SagaState) -> decision.Decision:
        return decision.retry(saga, timing=timing)

    _act(runtime, saga_id, decide, "retried", why=note, by=by)


def skip(runtime: Runtime, saga_id: UUID, step: str, *, note: str | None, by: str) -> None:
    """Go on from a failed step of a parked saga."""
    timing = runtime.timing

    def decide(saga: SagaState) -> decision.Decision:
        return decision.skip(saga, step, timing=timing)

    _act(runtime, saga_id, decide, "skipped at that step", why=note, by=by)


def resolve(
    runtime: Runtime, saga_id: UUID, *, note: str, status: SagaStatus | None, by: str
) -> None:
    """End a parked saga on an operator's word."""
    if status not in (None, SagaStatus.COMPLETED, SagaStatus.COMPENSATED):
        raise ValueError(f"A saga is resolved as COMPLETED or COMPENSATED, not as {status}.")
    completed = None if status is None else status is SagaStatus.COMPLETED

    def decide(saga: SagaState) -> decision.Decision:
        resolved: Resolved = {"by": by, "note": note, "at": saga.now.isoformat()}
        return decision.resolve(saga, completed=completed, resolved=resolved)

    _act(runtime, saga_id, decide, "resolved", why=note, by=by)


def _one_line(by: str) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in by[:200])


def _act(
    runtime: Runtime, saga_id: UUID, decide: Decide, done: str, *, why: str | None, by: str
) -> None:
    def with_reason(saga: SagaState) -> decision.Decision:
        return replace(decide(saga), why=why)

    acted = runtime.store.transition(saga_id, with_reason, actor=f"operator {_one_line(by)}")
    if acted is None:
        raise SagaNotFound(f"The record has no saga {saga_id}.")
    saga = acted.before
    if isinstance(acted.decision.answer, Declined):
        raise ActionDeclined(
            f"Saga {saga.name} {saga.key} ({saga.id}) cannot be {done}: "
            f"{acted.decision.answer.reason}."
        )
    if dispatch := acted.decision.dispatch:
        faults.reach("operate.recorded", saga.key)
        runtime.messages.publish(Chain(acted.after, dispatch, acted.epoch))
