"""What a worker's duties say when they fail."""

import logging

import pytest

from sagas.duties.supervisor import Duty
from sagas.errors import RecordNotReady


def failing(error: Exception) -> Duty:
    def once() -> None:
        raise error

    return Duty("sweep", once)


def log_of(error: Exception, caplog: pytest.LogCaptureFixture) -> logging.LogRecord:
    duty = failing(error)
    for _ in range(2):
        duty.run_once()
    (record,) = caplog.records
    return record


def test_a_failing_duty_logs_the_reason_once_and_in_the_first_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    record = log_of(OSError("no route to host\nand more"), caplog)
    message = "The saga sweep failed; it is repeated until it works: no route to host"
    assert record.getMessage() == message
    assert record.exc_info


def test_an_error_that_says_what_to_do_needs_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    record = log_of(RecordNotReady("Create them with: sagas db upgrade"), caplog)
    assert record.getMessage().endswith("works: Create them with: sagas db upgrade")
    assert not record.exc_info
