"""Every mutant."""

from tests.mutants.attempts import ATTEMPTS
from tests.mutants.decisions import DECISIONS
from tests.mutants.duties import DUTIES
from tests.mutants.record import RECORD

__all__ = ["MUTANTS"]

MUTANTS = (*ATTEMPTS, *DECISIONS, *RECORD, *DUTIES)
