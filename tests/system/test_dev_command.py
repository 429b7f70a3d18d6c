"""``sagas dev`` as a person uses it: start it, place a saga, edit a file, stop it."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from click.testing import CliRunner

from sagas.cli import saga
from tests.support.waiting import HANG_S, wait_until

APP = """
from celery import Celery
import sagas
from sagas import Saga, step

app = Celery("little", broker="redis://nowhere.invalid/0")
app.conf.worker_pool = "solo"
sagas.setup(app)

@step(name="greet")
def greet(name: str) -> str:
    return f"Hello {name}"

@greet.compensation(name="take.back")
def take_back(name: str) -> None:
    pass

greeting = Saga("greeting", input=str, steps=[greet])
"""

SAGAS = Path(sys.executable).with_name("sagas")

JOINED = "Using the broker and the record of the sagas dev that runs here."

#: Set in the environment of everything that a run starts, so that leftovers can be found.
MARK = "SAGAS_DEV_TEST"


@dataclass(frozen=True)
class Run:
    """A run of the command in its own directory."""

    process: subprocess.Popen[bytes]
    directory: Path
    mark: str

    @property
    def output(self) -> str:
        return (self.directory / "output").read_text()

    def shows(self, text: str, times: int = 1) -> None:
        try:
            wait_until(lambda: self.output.count(text) >= times, what=text)
        except AssertionError:
            raise AssertionError(self.output) from None

    def elsewhere(self, command: str) -> str:
        """Run a command in another terminal."""
        done = self.terminal(f"{SAGAS} -A little {command}")
        assert done.stderr.splitlines() == [JOINED]
        return done.stdout

    def terminal(self, line: str) -> subprocess.CompletedProcess[str]:
        """Run a line in a shell of this directory."""
        done = subprocess.run(
            ["/bin/sh", "-c", line], cwd=self.directory, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done

    def left(self) -> dict[int, str]:
        """Return the processes that are still running, by id."""
        found = {}
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(MARK) == self.mark:
                    found[process.pid] = " ".join(process.cmdline())
        return found


@contextmanager
def running(directory: Path) -> Iterator[Run]:
    (directory / "little.py").write_text(APP)
    mark = uuid.uuid4().hex
    env = {**os.environ, MARK: mark}
    command = [str(SAGAS), "-A", "little", "dev"]
    with (directory / "output").open("wb") as output:
        process = subprocess.Popen(
            command, cwd=directory, env=env, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield Run(process, directory, mark)
    finally:
        process.kill()
        process.wait()


def status_of(url: str) -> int:
    """Request a page, with the user and the password of the URL as a browser sends them."""
    found = re.fullmatch(r"http://(?:(.+)@)?(.+)", url)
    assert found
    request = urllib.request.Request(f"http://{found[2]}/")
    if found[1]:
        request.add_header("Authorization", f"Basic {b64encode(found[1].encode()).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=HANG_S) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:  # not yet
        return 0


@pytest.mark.parametrize(
    "end", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)]
)
def test_a_saga_is_run_by_a_worker_that_reloads_and_no_process_is_left_over(
    end: signal.Signals, tmp_path: Path
) -> None:
    with running(tmp_path) as run:
        run.shows(" ready.")
        (tmp_path / "name.json").write_text('"Ada"')
        run.elsewhere("start greeting name.json --key G-1")
        wait_until(lambda: shown(run, "G-1")["status"] == "COMPLETED")
        programs_in_other_terminals_reach_the_worker(run)

        found = re.search(r"http://dev:\S+", run.output)
        assert found
        wait_until(lambda: status_of(found[0]) == 200, what="Flower answers")
        assert status_of(re.sub("dev:.*@", "", found[0])) == 401

        (tmp_path / "little.py").write_text(APP.replace("Hello", "Good evening,"))
        run.shows("little.py changed: restarting the worker.")
        run.shows(" ready.", times=2)
        run.elsewhere("start greeting name.json --key G-2")
        wait_until(lambda: shown(run, "G-2")["status"] == "COMPLETED")
        assert "Good evening, Ada" in run.elsewhere("show G-2 --json")

        run.process.send_signal(end)
        assert run.process.wait(timeout=HANG_S) == (0 if end is signal.SIGINT else -end)
        wait_until(lambda: not run.left(), what="every process has ended")


def programs_in_other_terminals_reach_the_worker(run: Run) -> None:
    """Check what programs do in this directory as they are, and with the file."""
    (run.directory / "plain.py").write_text(APP.replace(', broker="redis://nowhere.invalid/0"', ""))
    for number, (before, module) in enumerate([("", "plain"), (". .sagas/env && ", "little")]):
        use = f"{module}.greeting.start('Eve', key='P-{number}').wait(timeout={HANG_S})"
        ran = run.terminal(f'{before}{sys.executable} -c "import {module}; {use}"')
        assert ran.stderr == ""
        assert shown(run, f"P-{number}")["status"] == "COMPLETED"


def shown(run: Run, key: str) -> dict[str, object]:
    (detail,) = json.loads(run.elsewhere(f"show {key} --json"))
    saga_: dict[str, object] = detail["saga"]
    return saga_


def test_a_mistake_in_the_code_waits_for_its_correction(tmp_path: Path) -> None:
    with running(tmp_path) as run:
        run.shows(" ready.")
        (tmp_path / "little.py").write_text("this is not Python")
        run.shows("It restarts after a change of the code.")
        (tmp_path / "little.py").write_text(APP)
        run.shows(" ready.", times=2)


def test_a_worker_that_is_killed_is_restarted(tmp_path: Path) -> None:
    with running(tmp_path) as run:
        run.shows(" ready.")
        command = f"{sys.executable} -m celery -A little worker"
        (worker,) = (pid for pid, words in run.left().items() if words.startswith(command))
        os.kill(worker, signal.SIGKILL)
        run.shows("The worker was killed (signal 9): restarting it.")
        run.shows(" ready.", times=2)


def test_a_missing_requirement_is_reported_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["sagas.cli.dev"], "find_spec", lambda _: None)
    shown = CliRunner().invoke(saga, ["dev"], obj=SimpleNamespace(app=None, app_name="little"))
    assert shown.exit_code == 1
    assert "sagas dev needs flower, watchfiles." in shown.stderr
    assert "pip install 'celery-sagas[dev]'" in shown.stderr


def test_as_a_celery_command_it_says_how_to_run_it() -> None:
    shown = CliRunner().invoke(saga, ["dev"], obj=SimpleNamespace(app=None))
    assert shown.exit_code == 2
    assert "Run it as: sagas -A yourapp dev" in shown.stderr
