"""celery-sagas: distributed transactions for people who already run Celery.

Each step of a saga is a Celery task with a compensation. The steps run as a chain. If a step fails,
its errback triggers the compensations in reverse order. A SQL record of the executed steps brings
every saga to its end, whatever is lost, repeated or killed on the way.
"""

from importlib.metadata import version

from celery import Celery

from sagas.client.handle import SagaHandle
from sagas.client.lookup import count_by_status, find, get, upgrade_record
from sagas.client.saga import Saga
from sagas.context import CompensationContext, Context, Failure
from sagas.decision import AttemptError, Blocked, Parked, Resolved, SagaFailure
from sagas.definition import Step, StepDefinition
from sagas.duties.alerts import on_alert
from sagas.duties.bootstep import connect
from sagas.errors import (
    ActionDeclined,
    AttemptAborted,
    AttemptSuperseded,
    BarrierError,
    ConfigurationError,
    DefinitionError,
    HangingAction,
    InvalidInput,
    InvalidKey,
    InvalidPayload,
    KeyConflict,
    OutputUnavailable,
    PayloadTooLarge,
    PlanUnreadable,
    RecordNotReady,
    RetryAfter,
    SagaError,
    SagaNotFound,
    SecretWithheld,
    StepFailed,
    WaitTimeout,
    WrongApplication,
    WrongDatabase,
)
from sagas.events import Event
from sagas.record.alerts import Alert
from sagas.record.queries import HistoryEntry, SagaView, StepView
from sagas.retry import Retry
from sagas.runtime.app import bind
from sagas.runtime.dev_environment import offer_broker
from sagas.runtime.payload_codec import Codec
from sagas.states import Operation, Outcome, Reuse, SagaStatus, StepStatus
from sagas.worker.step_task import step
from sagas.worker.turn_back_task import turn_back as _turn_back  # noqa: F401 - registers the task

__version__ = version("celery-sagas")

__all__ = [
    "ActionDeclined",
    "Alert",
    "AttemptAborted",
    "AttemptError",
    "AttemptSuperseded",
    "BarrierError",
    "Blocked",
    "Codec",
    "CompensationContext",
    "ConfigurationError",
    "Context",
    "DefinitionError",
    "Event",
    "Failure",
    "HangingAction",
    "HistoryEntry",
    "InvalidInput",
    "InvalidKey",
    "InvalidPayload",
    "KeyConflict",
    "Operation",
    "Outcome",
    "OutputUnavailable",
    "Parked",
    "PayloadTooLarge",
    "PlanUnreadable",
    "RecordNotReady",
    "Resolved",
    "Retry",
    "RetryAfter",
    "Reuse",
    "Saga",
    "SagaError",
    "SagaFailure",
    "SagaHandle",
    "SagaNotFound",
    "SagaStatus",
    "SagaView",
    "SecretWithheld",
    "Step",
    "StepDefinition",
    "StepFailed",
    "StepStatus",
    "StepView",
    "WaitTimeout",
    "WrongApplication",
    "WrongDatabase",
    "__version__",
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

    Where ``sagas dev`` runs in the current directory, an app that names no broker or no record uses
    those of that command.
    """
    if getattr(app, "sagas", None) is None:
        offer_broker(app)
        connect(bind(app))
