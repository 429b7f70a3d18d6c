"""Declaring steps and sagas; every declaration is checked when it is made."""

from sagas.definition.call import Call, declare_call, is_name
from sagas.definition.saga import build_plan
from sagas.definition.step import COMPENSATION_RETRY, Step, StepDefinition

__all__ = [
    "COMPENSATION_RETRY",
    "Call",
    "Step",
    "StepDefinition",
    "build_plan",
    "declare_call",
    "is_name",
]
