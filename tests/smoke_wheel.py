"""Try the installed wheel: run by ``make wheel`` with the Python of an otherwise empty environment.

That environment holds the wheel and its required dependencies only, so this uses neither pytest nor
anything else of the checkout.
"""

import subprocess
import sys
import sysconfig
from importlib.metadata import files
from importlib.util import find_spec
from pathlib import Path

import sagas
import sagas.testing

INSTALLED = Path(sysconfig.get_path("purelib"))
SCRIPTS = Path(sysconfig.get_path("scripts"))


def main() -> None:
    """Fail with a sentence on the first thing that is not as it must be."""
    shipped = {str(file) for file in files("celery-sagas") or ()}
    packages = {name.partition("/")[0] for name in shipped if not name.startswith("..")}
    migrations = "sagas/record/migrations"

    check(Path(sagas.__file__).parent == INSTALLED / "sagas", "sagas comes from the wheel")
    check("sagas/py.typed" in shipped, "the wheel says that it is typed")
    check(f"{migrations}/env.py" in shipped, "the wheel ships the migrations' environment")
    check(f"{migrations}/script.py.mako" in shipped, "the wheel ships the migrations' template")
    check(
        any(name.startswith(f"{migrations}/versions/0") for name in shipped),
        "the wheel ships the migrations",
    )
    check(
        all(name == "sagas" or name.startswith("celery_sagas-") for name in packages),
        f"the wheel ships sagas alone, not {sorted(packages)}",
    )
    check(sagas.testing.violations_of is not None, "the checker needs nothing else")
    check(find_spec("tasks") is None, "the reference application is not installed")
    check("Usage" in output_of("sagas", "--help"), "the command line explains itself")
    check("Usage" in output_of("celery", "saga", "--help"), "so it does as a part of Celery's")


def check(holds: bool, what: str) -> None:  # noqa: FBT001 - an assertion, which -O cannot remove
    """Report *what*, or end with it."""
    if not holds:
        sys.exit(f"NOT SO: {what}")
    sys.stdout.write(f"ok: {what}\n")


def output_of(script: str, *arguments: str) -> str:
    """Run one of the environment's scripts."""
    return subprocess.run(
        [SCRIPTS / script, *arguments], check=True, stdout=subprocess.PIPE, text=True
    ).stdout


if __name__ == "__main__":
    main()
