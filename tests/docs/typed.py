"""Writes the Python of each page into a module, for type checkers: ``make types`` runs them."""

import re
import sys
from pathlib import Path

from tests.docs.blocks import PAGES, ROOT, blocks

__all__ = ["write"]


def write(folder: Path) -> None:
    """Write a module for each page that has code which runs; nothing else stays in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.py"):
        old.unlink()
    for page in PAGES:
        # As a reader puts them together: first what the page defines, then what uses it.
        run = sorted((b for b in blocks(page, "python") if b.is_run), key=lambda b: b.mark == "use")
        if run:
            name = re.sub(r"\W", "_", str(page.relative_to(ROOT).with_suffix("")))
            (folder / f"{name}.py").write_text("".join(f"# {b}\n{b.text}\n" for b in run))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
