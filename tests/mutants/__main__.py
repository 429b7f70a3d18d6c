"""``python -m tests.mutants``: breaks the core in one place at a time; the tests must notice.

Each mutant is a copy of the tree with one change. It is caught if one of its tests fails. First,
all of these tests must pass on an unchanged copy. The exit code is 0 only if every mutant is
caught. The survivors are listed last.
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from tests.mutants.catalogue import MUTANTS
from tests.mutants.edit import Package
from tests.mutants.mutant import Mutant
from tests.mutants.trial import HANG_S, Trial, longest, prepare, tried

ROOT = Path(__file__).parent.parent.parent


def main() -> int:
    """Try every mutant, or those whose name contains one of the given words."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("words", nargs="*", help="only mutants whose name contains one of these")
    words = parser.parse_args().words
    chosen = [m for m in MUTANTS if not words or any(word in m.name for word in words)]
    prepare()
    with tempfile.TemporaryDirectory(prefix="sagas-mutants-") as folder:
        survivors = _survivors(Path(folder), chosen)
    print(f"{len(chosen)} mutants, {len(survivors)} survived")
    for name in survivors:
        print(f"- {name}")
    return 1 if survivors or not chosen else 0


def _survivors(folder: Path, chosen: Sequence[Mutant]) -> list[str]:
    whole = _copied(ROOT, folder / "whole", leave_out="__pycache__", copy=shutil.copy2)
    cpu_s = 0.0
    # These trials leave the copy compiled, which saves the others that work.
    named = dict.fromkeys(mutant.tests for mutant in chosen)
    plain = (Trial(" ".join(tests), whole, tests, HANG_S) for tests in named)
    took_s = {}
    for trial in tried(plain, compile_it=True):
        cpu_s += trial.cpu_s
        took_s[trial.tests] = trial.took_s
        if trial.caught_by:
            raise RuntimeError(f"without a mutant too, this fails: {trial.caught_by}")
    print(f"{cpu_s:6.1f} s  without a mutant: all pass", flush=True)
    survivors = []
    for trial in tried(_broken(folder, whole, chosen, took_s)):
        cpu_s += trial.cpu_s
        shutil.rmtree(trial.tree)
        print(f"{trial.cpu_s:6.1f} s  {trial.name}: {trial.caught_by or 'SURVIVED'}", flush=True)
        survivors += [] if trial.caught_by else [trial.name]
    print(f"{cpu_s:6.1f} s of CPU")
    return survivors


def _broken(
    folder: Path, whole: Path, mutants: Sequence[Mutant], took_s: Mapping[tuple[str, ...], float]
) -> Iterator[Trial]:
    package = Package(whole / "sagas")
    for number, mutant in enumerate(mutants):
        tree = _copied(whole, folder / f"mutant-{number}", copy=os.link)  # far cheaper than a copy
        file, text = package.edited(mutant.target, mutant.old, mutant.new)
        (tree / file).unlink()  # only the link, not the shared file
        (tree / file).write_text(text, "utf-8")
        yield Trial(mutant.name, tree, mutant.tests, longest(took_s[mutant.tests]))


def _copied(
    source: Path, tree: Path, *, copy: Callable[[str, str], object], leave_out: str = ""
) -> Path:
    ignored = shutil.ignore_patterns(leave_out)
    for part in ("sagas", "tests"):
        shutil.copytree(source / part, tree / part, ignore=ignored, copy_function=copy)
    shutil.copy(source / "pyproject.toml", tree)
    return tree


if __name__ == "__main__":
    sys.exit(main())
