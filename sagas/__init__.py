"""celery-sagas: distributed transactions for people who already run Celery.

Each step of a saga is a Celery task with a compensation. The steps run as a chain; a step that
fails lets its errback trigger the compensations in reverse order; and a SQL record of what was
executed brings every saga to its end, whatever is lost, repeated or killed on the way.
"""

from celery import Celery

from sagas.context import Context, Failure
from sagas.definition import Step
from sagas.errors import (
    ActionDeclined,
    AttemptSuperseded,
    BarrierError,
    ConfigurationError,
    DefinitionError,
    HangingAction,
    InvalidInput,
    InvalidKey,
    KeyConflict,
    OutputUnavailable,
    PayloadTooLarge,
    PlanUnreadable,
    RecordNotReady,
    SagaError,
    SagaNotFound,
    SecretWithheld,
    StepFailed,
    WaitTimeout,
    WrongDatabase,
)
from sagas.record.alerts import Alert
from sagas.retry import Retry
from sagas.runtime.alerting import on_alert
from sagas.runtime.app import bind
from sagas.runtime.duties import connect
from sagas.runtime.handle import SagaHandle
from sagas.runtime.lookup import count_by_status, find, get, upgrade_record
from sagas.runtime.saga import Saga
from sagas.runtime.steps import step
from sagas.runtime.turn_back import turn_back as _turn_back  # noqa: F401 - registers the task
from sagas.states import Outcome, SagaStatus, StepStatus

__all__ = [
    "ActionDeclined",
    "Alert",
    "AttemptSuperseded",
    "BarrierError",
    "ConfigurationError",
    "Context",
    "DefinitionError",
    "Failure",
    "HangingAction",
    "InvalidInput",
    "InvalidKey",
    "KeyConflict",
    "Outcome",
    "OutputUnavailable",
    "PayloadTooLarge",
    "PlanUnreadable",
    "RecordNotReady",
    "Retry",
    "Saga",
    "SagaError",
    "SagaHandle",
    "SagaNotFound",
    "SagaStatus",
    "SecretWithheld",
    "Step",
    "StepFailed",
    "StepStatus",
    "WaitTimeout",
    "WrongDatabase",
    "count_by_status",
    "find",
    "get",
    "on_alert",
    "setup",
    "step",
    "upgrade_record",
]


def setup(app: Celery) -> None:
    """Bind the engine to a Celery app: its settings, its workers' duties, its command.

    Call it once, where the app is made. Nothing is connected and no setting is read before the
    first use. A second call for the same app does nothing.
    """
    if getattr(app, "sagas", None) is None:
        connect(bind(app))
