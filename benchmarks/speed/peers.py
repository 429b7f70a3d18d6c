"""The environment of each peer, under ``build/bench``, from its own locked requirements."""

import subprocess
import sys
from pathlib import Path

__all__ = ["NoPeer", "interpreter"]

_HERE = Path(__file__).parent
_ENVIRONMENTS = _HERE.parents[1] / "build/bench"

_PIP = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
_LOCKED = ("--require-hashes", "--only-binary", ":all:", "--requirement")


class NoPeer(Exception):
    """A peer cannot be had; the message says why."""


def interpreter(peer: str) -> Path:
    """Return the interpreter of a peer's environment, which is made unless it is up to date.

    Raises:
        NoPeer: it cannot be made, most likely because no package index answers.
    """
    requirements = _HERE / "requirements" / f"{peer}.txt"
    environment = _ENVIRONMENTS / peer
    python, stamp = environment / "bin/python", environment / ".ready"
    if stamp.exists() and stamp.read_text() == requirements.read_text():
        return python
    _run(sys.executable, "-m", "venv", "--clear", str(environment))
    _run(str(python), *_PIP, *_LOCKED, str(requirements))
    stamp.write_text(requirements.read_text())
    return python


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise NoPeer(" ".join(errors[-1:]) or f"{command[1:4]} exited with {done.returncode}")
