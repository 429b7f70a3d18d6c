"""Declaring steps and sagas, and checking the declarations when they are made."""

from sagas.definition.call import NAME_LIMIT, Call, declare_call
from sagas.definition.saga import build_plan
from sagas.definition.step import COMPENSATION_RETRY, Step, StepDefinition

__all__ = [
    "COMPENSATION_RETRY",
    "NAME_LIMIT",
    "Call",
    "Step",
    "StepDefinition",
    "build_plan",
    "declare_call",
]
