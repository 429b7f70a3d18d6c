"""Checking one saga, or a whole record, against every rule."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Unpack
from uuid import UUID

from sagas.testing.effect_rules import check_effects
from sagas.testing.end_rules import check_end
from sagas.testing.history_rules import Found, walk
from sagas.testing.model import Effect, Observed, Violation
from sagas.testing.options import Options, SagaOptions
from sagas.testing.reader import Record, changes_since, observe
from sagas.testing.record_rules import RecordRules

__all__ = ["check", "violations", "violations_of"]


def violations_of(saga: Observed, **options: Unpack[SagaOptions]) -> list[Violation]:
    """Return every rule that one saga breaks; pure, and fast enough for a simulation's loop."""
    return _violations_of(saga, options)


def _violations_of(saga: Observed, options: SagaOptions) -> list[Violation]:
    found: Found = []
    history = walk(saga, found)
    effects = None if saga.effects is None else check_effects(saga.effects, history, options, found)
    check_end(history, effects, options, found)
    if saga.plan_id != saga.plan_hash:
        found.append(("S14", f"its plan {saga.plan_id} has been changed since it was written"))
    return [Violation(rule, text, saga.id, saga.name, saga.key) for rule, text in found]


def violations(
    record: Record, ledger: Iterable[Effect] | None = None, **options: Unpack[Options]
) -> list[Violation]:
    """Return every violation in a record; an empty list if all rules hold.

    Args:
        record: the Celery app, the record's database, or its URL.
        ledger: what the participants did, the lines of one step in the order in which they were
            written, for all steps of all sagas except those in ``no_ledger``. None if there is no
            ledger: then only what the record alone can tell is checked.
        **options: which rules apply, and what else there is to check; see ``Options``.

    Raises:
        RecordNotReady: the record's tables are missing.
    """
    effects = None if ledger is None else _by_saga(ledger)
    record_rules = RecordRules(options, effects)
    found: list[Violation] = []
    for saga in observe(record, effects):
        record_rules.add(saga)
        found += _violations_of(saga, options)
    if since := options.get("since"):
        found += [
            record_rules.violation("S2", "it had ended, but has disappeared", saga_id)
            for saga_id in since
            if not record_rules.knows(saga_id)
        ]
        found += [
            record_rules.violation("S2", text, saga_id)
            for saga_id, text in changes_since(record, since)
            if record_rules.knows(saga_id)
        ]
    return [*found, *record_rules.violations()]


def _by_saga(ledger: Iterable[Effect]) -> Mapping[UUID, list[Effect]]:
    effects: dict[UUID, list[Effect]] = defaultdict(list)
    for effect in ledger:
        effects[effect.saga_id].append(effect)
    return effects


def check(
    record: Record, ledger: Iterable[Effect] | None = None, **options: Unpack[Options]
) -> None:
    """Raise an AssertionError that lists every violation; for the arguments, see ``violations``."""
    if found := violations(record, ledger, **options):
        raise AssertionError("\n".join([f"{len(found)} violations", *map(str, found)]))
