"""Every code block of the README and the documentation is run, or at least parsed."""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest
import yaml

from sagas.cli import main
from tests.docs.blocks import PAGES, ROOT, Block, blocks
from tests.support.servers import empty_redis
from tests.support.waiting import HANG_S
from tests.support.workers import running_worker

#: The address that the pages use; a test replaces it with the address of a private broker.
_BROKER = "redis://127.0.0.1:6379/0"

#: The command after a prompt, without its comment.
_COMMAND = r"^\$ (.+?)(?: +#.*)?$"

#: Programs whose command lines are not checked here.
_FOREIGN = {
    ".",
    "cd",
    "pip",
    "docker",
    "flask",
    "echo",
    "pkill",
    "python",
    "export",
}

_WITH_PYTHON = [page for page in PAGES if any(block.is_run for block in blocks(page, "python"))]


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", _WITH_PYTHON, ids=named)
def test_the_python_of_a_page_runs(page: Path, embedded_url: str, tmp_path: Path) -> None:
    with empty_redis(embedded_url) as broker:
        found = [block for block in blocks(page, "python") if block.is_run]
        _write(tmp_path / "page.py", [b for b in found if b.mark != "use"], broker)
        _write(tmp_path / "use.py", [b for b in found if b.mark == "use"], broker)
        _run(tmp_path, "page", broker)
        if (tmp_path / "use.py").read_text():
            use = "from page import *\nimport sagas\nsagas.upgrade_record()\n"
            (tmp_path / "use.py").write_text(use + (tmp_path / "use.py").read_text())
            env = {"PYTHONPATH": str(tmp_path), **_brought(broker)}
            with running_worker("page", "-c", "1", log=tmp_path / "log", env=env, cwd=tmp_path):
                _run(tmp_path, "use", broker)


def _brought(broker: str) -> dict[str, str]:
    """Return what `sagas dev` brings, for pages whose app names no broker."""
    return {"CELERY_BROKER_URL": broker}


def _write(file: Path, code: list[Block], broker: str) -> None:
    text = "".join(f"# {block}\n{block.text}\n" for block in code)
    file.write_text(text.replace(_BROKER, broker))


def _run(folder: Path, module: str, broker: str) -> None:
    path = os.pathsep.join([str(folder), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", module],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, **_brought(broker)},
        check=False,
        capture_output=True,
        text=True,
        timeout=HANG_S,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_the_commands_of_a_page_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for block in blocks(page, "console"):
        for line in re.findall(_COMMAND, block.text.replace("\\\n", " "), re.MULTILINE):
            for command in re.split(r" \| | && ", line.removesuffix(" &")):
                words = [word for word in shlex.split(command) if "=" not in word or "-" in word]
                _check(block, words, targets)


def _check(block: Block, words: list[str], targets: set[str]) -> None:
    match words:
        case ["sagas", "-A", _, *rest]:
            _parse(main, rest, block)
        case ["celery", "-A", _, "saga", *rest]:
            _parse(main, rest, block)
        case ["celery", "-A", _, "worker" | "flower", *_]:
            pass
        case ["make", target, *_]:
            assert target in targets, f"{block}: there is no make {target}"
        case _:
            assert words[0] in _FOREIGN, f"{block}: {words[0]} is not a known program"


def _parse(command: click.Command, words: list[str], block: Block) -> None:
    context = click.Context(command)
    if isinstance(command, click.Group):
        assert words[0] in command.commands, f"{block}: there is no command {words[0]}"
        _parse(command.commands[words[0]], words[1:], block)
        return
    try:
        command.make_parser(context).parse_args(words)
    except click.UsageError as error:
        raise AssertionError(f"{block}: {error}") from error


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_the_configuration_of_a_page_can_be_parsed(page: Path) -> None:
    for block in blocks(page, "yaml"):
        assert list(yaml.safe_load_all(block.text)), block
    for block in blocks(page, "toml"):
        assert tomllib.loads(block.text), block
    for block in blocks(page, "json"):
        assert json.loads(block.text), block


def test_a_block_that_is_not_run_says_why() -> None:
    silent = [
        str(block)
        for page in PAGES
        for block in blocks(page, "python")
        if block.mark not in ("", "use") and not block.mark.startswith("not run: ")
    ]
    assert not silent
