"""How an error of a step, or what made a saga turn back, is said in one line."""

from collections.abc import Mapping
from typing import Any

from sagas.record.queries import SagaView

__all__ = ["describe", "describe_failure"]


def describe(error: Mapping[str, Any] | None) -> str:
    """Return the code or the type of an error with its message; empty where there is none."""
    if not error:
        return ""
    return f"{error.get('code') or error.get('type')}: {error.get('message')}"


def describe_failure(saga: SagaView) -> str:
    """Return what made a saga turn back, with the step if it was one."""
    if not saga.failure:
        return ""
    error = describe({**saga.failure})
    step = saga.failure["step"]  # None where a person or the deadline turned it back
    return f"{step}: {error}" if step else error
