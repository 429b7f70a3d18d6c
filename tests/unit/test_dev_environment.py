"""The file by which ``sagas dev`` tells other terminals where its broker and its record are."""

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery

import sagas
from sagas.errors import ConfigurationError
from sagas.runtime.app import runtime_of
from sagas.runtime.dev_environment import BROKER_VARIABLE, FILE, find, written
from sagas.runtime.settings import DATABASE_VARIABLE

THEIRS = {
    BROKER_VARIABLE: "redis://:a secret'@127.0.0.1:7777/0",
    DATABASE_VARIABLE: "sqlite:////somewhere/record.db",
}


@pytest.fixture(autouse=True)
def _directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(BROKER_VARIABLE, raising=False)
    monkeypatch.delenv(DATABASE_VARIABLE, raising=False)
    FILE.parent.mkdir()


@pytest.fixture
def file() -> Iterator[Path]:
    with written(THEIRS) as made:
        yield made


def test_what_is_written_is_found_as_long_as_the_command_runs() -> None:
    with written(THEIRS):
        assert find() == THEIRS
    assert find() == {}
    assert not FILE.exists()


def test_a_shell_reads_the_same(file: Path) -> None:
    line = f'. {file} && printf "%s" "${BROKER_VARIABLE}"'
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=True)
    assert done.stdout == THEIRS[BROKER_VARIABLE]


def test_others_cannot_read_the_password(file: Path) -> None:
    assert file.stat().st_mode & 0o077 == 0


def test_what_a_killed_command_has_left_behind_is_not_believed() -> None:
    code = (
        "import os, signal\n"
        "from sagas.runtime.dev_environment import written\n"
        "with written({'CELERY_BROKER_URL': 'redis://gone'}):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    assert "redis://gone" in FILE.read_text()
    assert find() == {}
    with written(THEIRS):
        assert find() == THEIRS


def test_a_second_command_in_the_directory_is_refused(file: Path) -> None:
    before = file.read_text()
    with pytest.raises(ConfigurationError, match=r"Another `sagas dev` runs in"), written({}):
        pass
    assert file.read_text() == before
    assert find() == THEIRS


def made(**options: str) -> Celery:
    app = Celery("shop", set_as_current=False, **options)
    sagas.setup(app)
    return app


@pytest.mark.usefixtures("file")
def test_an_app_that_names_neither_broker_nor_record_uses_them() -> None:
    app = made()
    assert app.conf.broker_url == THEIRS[BROKER_VARIABLE]
    assert runtime_of(app).settings.saga_database_url == THEIRS[DATABASE_VARIABLE]


@pytest.mark.usefixtures("file")
def test_what_an_app_or_its_environment_names_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DATABASE_VARIABLE, "sqlite:///mine.db")
    app = made(broker="redis://mine")
    assert app.conf.broker_url == "redis://mine"
    assert runtime_of(app).settings.saga_database_url == "sqlite:///mine.db"
    late = made()
    late.conf.update(broker_url="redis://late", saga_database_url="sqlite:///late.db")
    assert late.conf.broker_url == "redis://late"
    assert runtime_of(late).settings.saga_database_url == "sqlite:///late.db"


def test_without_the_command_an_app_keeps_celerys_own_broker() -> None:
    assert made().conf.broker_url is None


def warned(caplog: pytest.LogCaptureFixture, app: Celery) -> bool:
    caplog.clear()
    app.conf.saga_database_url = "sqlite:///record.db"
    with caplog.at_level(logging.WARNING):
        _ = runtime_of(app).messages
    return any("run: . .sagas/env" in line for line in caplog.messages)


@pytest.mark.usefixtures("file")
def test_who_publishes_elsewhere_is_told(caplog: pytest.LogCaptureFixture) -> None:
    assert warned(caplog, made(broker="redis://mine"))
    assert not warned(caplog, made())
    assert not warned(caplog, made(broker="memory://"))
    eager = made(broker="redis://mine")
    eager.conf.task_always_eager = True
    assert not warned(caplog, eager)


def test_without_the_command_nobody_is_told_anything(caplog: pytest.LogCaptureFixture) -> None:
    assert not warned(caplog, made(broker="redis://mine"))
