"""Every rule, asked of one saga or of a record."""

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
    """Return every rule that one saga breaks; pure, and quick enough for a simulation's loop."""
    return _violations_of(saga, options)


def _violations_of(saga: Observed, options: SagaOptions) -> list[Violation]:
    found: Found = []
    walked = walk(saga, found)
    tally = None if saga.effects is None else check_effects(saga.effects, walked, options, found)
    check_end(walked, tally, options, found)
    if saga.plan_id != saga.plan_hash:
        found.append(("S14", f"it is pinned to the plan {saga.plan_id}, whose body was changed"))
    return [Violation(rule, text, saga.id, saga.name, saga.key) for rule, text in found]


def violations(
    record: Record, ledger: Iterable[Effect] | None = None, **options: Unpack[Options]
) -> list[Violation]:
    """Return every rule that does not hold of the sagas of a record; nothing, if all hold.

    Args:
        record: the Celery app, the record's database, or its URL.
        ledger: what the participants did, the lines of one step in the order in which they were
            written; all steps of all sagas, but those named in ``no_ledger``. None where there is
            no ledger: then only what the record alone can tell is checked.
        **options: what else was seen; see ``Options``.

    Raises:
        RecordNotReady: the record's tables are missing.
    """
    effects = None if ledger is None else _by_saga(ledger)
    whole = RecordRules(options, effects)
    found: list[Violation] = []
    for saga in observe(record, effects):
        whole.take(saga)
        found += _violations_of(saga, options)
    if since := options.get("since"):
        found += [
            whole.of("S2", "it had ended, and is gone", i) for i in since if not whole.knows(i)
        ]
        found += [
            whole.of("S2", text, saga_id)
            for saga_id, text in changes_since(record, since)
            if whole.knows(saga_id)
        ]
    return [*found, *whole.violations()]


def _by_saga(ledger: Iterable[Effect]) -> Mapping[UUID, list[Effect]]:
    effects: dict[UUID, list[Effect]] = defaultdict(list)
    for effect in ledger:
        effects[effect.saga_id].append(effect)
    return effects


def check(
    record: Record, ledger: Iterable[Effect] | None = None, **options: Unpack[Options]
) -> None:
    """Raise AssertionError that lists every violation, one a line; arguments as ``violations``."""
    if found := violations(record, ledger, **options):
        raise AssertionError("\n".join([f"{len(found)} violations", *map(str, found)]))
