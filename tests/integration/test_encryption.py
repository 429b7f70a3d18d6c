"""Payloads at rest are encrypted by the application's codec and limited in size."""

import json
from typing import Any

import pytest
from celery import Celery
from cryptography.fernet import Fernet

from sagas import ConfigurationError, KeyConflict, PayloadTooLarge
from sagas.record import tables as t
from sagas.record.database import Database
from sagas.runtime.app import Runtime
from sagas.states import Outcome, SagaStatus, StepStatus
from tests.integration import codec
from tests.integration.codec import CANARY, FernetCodec, Login, login_saga, told, use
from tests.integration.exposure import holding, what_people_see
from tests.support.driver import Driver
from tests.support.records import count, saga_row, step_row

pytestmark = pytest.mark.usefixtures("nothing_told")


@pytest.mark.parametrize("given", ["object", "path"])
def test_a_codec_keeps_inputs_and_outputs_encrypted(
    given: str, app: Celery, database: Database, driver: Driver, capsys: pytest.CaptureFixture[str]
) -> None:
    path = "tests.integration.codec:codec"
    app.conf.update(saga_codec=codec.codec if given == "object" else path)
    handle = login_saga.start(Login(big=3), key="L-1")
    driver.run_all()
    assert handle.status is SagaStatus.COMPLETED
    assert told["token"] == f"{CANARY}-token-1"
    assert handle.output_of(use)[1].get_secret_value() == "xxx"
    assert not holding(database, CANARY)
    assert not holding(database, "password")
    row, output = saga_row(database, handle.id), step_row(database, handle.id, "vault.use")
    assert output is not None
    assert json.loads(codec.codec.decode(row.input))["big"] == 3
    assert CANARY in codec.codec.decode(output.output)
    # People see what is not secret, decrypted.
    assert '"by":"open"' in str(handle.steps()[0].output)
    assert CANARY not in what_people_see(handle, capsys)


def test_an_equal_input_is_recognised_by_its_plain_text_however_it_was_encrypted(
    app: Celery, database: Database
) -> None:
    app.conf.update(saga_codec=codec.codec)
    assert codec.codec.encode("{}") != codec.codec.encode("{}")  # salted
    first = login_saga.start(Login(), key="L-1")
    assert login_saga.start(Login(), key="L-1").id == first.id
    assert [h.id for h in login_saga.start_many([(Login(), "L-1")] * 2)] == [first.id] * 2
    with pytest.raises(KeyConflict):
        login_saga.start(Login(big=1), key="L-1")
    assert count(database, t.saga) == 1


def test_a_key_is_rotated_while_sagas_run(
    app: Celery, runtime: Runtime, database: Database, driver: Driver
) -> None:
    old, new = Fernet.generate_key(), Fernet.generate_key()
    app.conf.update(saga_codec=FernetCodec(old))
    handle = login_saga.start(Login(), key="L-1")
    driver.run_one()
    rotated = FernetCodec(new, old)
    app.conf.update(saga_codec=rotated)
    for name in ("settings", "payload_codec"):
        vars(runtime).pop(name)  # as in a restarted worker
    assert login_saga.start(Login(), key="L-1").id == handle.id
    driver.run_all()
    assert handle.status is SagaStatus.COMPLETED
    kept = {s: step_row(database, handle.id, s) for s in ("vault.open", "vault.use")}
    first, second = (row.output for row in kept.values() if row is not None)
    Fernet(old).decrypt(first)
    Fernet(new).decrypt(second)


class Broken:
    """A codec that fails and quotes its argument."""

    def __init__(self, *fails: str) -> None:
        self.fails = set(fails)

    def encode(self, text: str, /) -> str:
        return self._code("encode", text)

    def decode(self, text: str, /) -> str:
        return self._code("decode", text)

    def _code(self, what: str, text: str) -> str:
        if what in self.fails:
            raise ZeroDivisionError(text)
        return text


def test_a_codec_that_cannot_encode_starts_nothing_and_says_so(
    app: Celery, database: Database
) -> None:
    app.conf.update(saga_codec=Broken("encode"))
    with pytest.raises(ConfigurationError, match="saga_codec could not encode the input of") as e:
        login_saga.start(Login(), key="L-1")
    assert "ZeroDivisionError" in str(e.value)
    assert CANARY not in str(e.value)
    assert count(database, t.saga) == 0


def test_a_codec_that_returns_no_text_says_so(app: Celery, database: Database) -> None:
    class Bytes:
        def encode(self, text: str, /) -> Any:
            return text.encode()

        def decode(self, text: str, /) -> str:
            return text

    app.conf.update(saga_codec=Bytes())
    with pytest.raises(ConfigurationError, match="it returned bytes instead of str"):
        login_saga.start(Login())
    assert count(database, t.saga) == 0


def test_an_input_that_the_codec_cannot_read_fails_the_attempt_with_a_clear_error(
    app: Celery, database: Database, driver: Driver
) -> None:
    codec = Broken()
    app.conf.update(saga_codec=codec)
    handle = login_saga.start(Login(), key="L-1")
    codec.fails.add("decode")  # the key is lost
    driver.run_all()
    # Neither the action nor its compensation can run: a person is asked.
    assert handle.describe().status is SagaStatus.FAILED
    row = step_row(database, handle.id, "vault.open")
    assert row is not None
    assert (row.attempt, row.status) == (2, StepStatus.COMPENSATION_FAILED)
    assert row.error["type"] == "ConfigurationError"
    assert "saga_codec could not decode a payload of the record" in row.error["message"]
    assert not told
    assert CANARY not in json.dumps([row.error, row.compensation_error])
    codec.fails.clear()  # and the key is found again
    handle.retry(note="the key is back")
    driver.run_all()
    assert handle.describe().status is SagaStatus.COMPENSATED


# Too large.


def test_an_input_over_the_limit_is_refused_and_leaves_no_row(
    app: Celery, database: Database
) -> None:
    app.conf.update(saga_payload_limit_bytes=300)
    small = Login(goes_wrong="é" * 10)
    login_saga.start(small)
    with pytest.raises(PayloadTooLarge, match=r"over the limit of 300 \(saga_payload_limit_bytes"):
        login_saga.start(Login(goes_wrong="é" * 100))  # each takes two bytes
    assert count(database, t.saga) == 1


def test_the_limit_applies_to_the_json_before_encryption(app: Celery, database: Database) -> None:
    app.conf.update(saga_codec=codec.codec, saga_payload_limit_bytes=200)
    handle = login_saga.start(Login())
    assert len(saga_row(database, handle.id).input) > 200


def test_an_output_over_the_limit_may_have_happened_so_it_is_undone_and_not_repeated(
    app: Celery, database: Database, driver: Driver
) -> None:
    app.conf.update(saga_payload_limit_bytes=1_000)
    handle = login_saga.start(Login(goes_wrong="is large"), key="L-1")
    driver.run_all()
    assert handle.status is SagaStatus.COMPENSATED
    row = step_row(database, handle.id, "vault.use")
    assert row is not None
    assert (row.attempt, row.status, row.output) == (1, StepStatus.COMPENSATED, None)
    assert row.error["type"] == "PayloadTooLarge"
    assert "The output of vault.use is" in row.error["message"]
    assert told["unused"] == (Outcome.UNKNOWN, None)
    assert told["closed"] == f"{CANARY}-token-1"
    assert [e.event for e in handle.history() if e.step == "vault.use"] == [
        "RUNNING",
        "UNKNOWN",
        "COMPENSATING",
        "COMPENSATED",
    ]
