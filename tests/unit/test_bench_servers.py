from pathlib import Path

import pytest

from benchmarks.speed import peers
from benchmarks.speed.peers import NoPeer, interpreter
from benchmarks.speed.servers import NoServer, find_servers
from tests.support.servers import free_port


def test_a_missing_postgresql_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"postgresql+psycopg://root@127.0.0.1:{free_port()}/test"
    monkeypatch.setenv("SAGAS_TEST_POSTGRES_URL", url)
    with pytest.raises(NoServer, match=r"no PostgreSQL at .* set SAGAS_TEST_POSTGRES_URL"):
        find_servers()


def test_only_a_redis_database_that_is_named_by_its_number_is_emptied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("benchmarks.speed.servers._postgres", str)
    monkeypatch.setenv("SAGAS_TEST_REDIS_URL", f"redis://127.0.0.1:{free_port()}")
    with pytest.raises(NoServer, match="database number"):
        find_servers()


def test_a_missing_redis_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.speed.servers._postgres", str)
    monkeypatch.setenv("SAGAS_TEST_REDIS_URL", f"redis://127.0.0.1:{free_port()}/9")
    with pytest.raises(NoServer, match=r"no Redis at .* set SAGAS_TEST_REDIS_URL"):
        find_servers()


@pytest.mark.slow
def test_a_peer_that_cannot_be_installed_is_left_out_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "requirements").mkdir()
    requirement = f"dbos==3.4.0 --hash=sha256:{'0' * 64}\n"
    (tmp_path / "requirements/dbos.txt").write_text(f"--no-index\n{requirement}")
    monkeypatch.setattr(peers, "_HERE", tmp_path)
    monkeypatch.setattr(peers, "_ENVIRONMENTS", tmp_path)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(NoPeer, match="No matching distribution found for dbos"):
        interpreter("dbos")
