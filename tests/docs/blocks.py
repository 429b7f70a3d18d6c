"""The code blocks of the documentation, and what their pages say about them.

A comment before a block says how it is tested: ``<!-- use -->`` for code that uses the page's
definitions and runs beside a worker; ``<!-- not run: reason -->`` for code that does not run. The
comment before a generated block, ``<!-- generated: part -->``, has no effect on that.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PAGES", "ROOT", "Block", "blocks"]

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

_BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>[^>]+?) -->\n+)?^(?P<indent> *)```(?P<language>\w+)[^\n]*\n"
    r"(?P<text>.*?)^(?P=indent)```$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """One fenced block, and the line of its page where it begins."""

    page: Path
    line: int
    language: str
    text: str
    mark: str

    @property
    def is_run(self) -> bool:
        """Whether the block is run, or checked if its language cannot be run."""
        return not self.mark.startswith("not run: ")

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path, language: str) -> Iterator[Block]:
    """Return the blocks of a page that are in one language."""
    text = page.read_text()
    for match in _BLOCK.finditer(text):
        if match["language"] == language:
            line = text.count("\n", 0, match.start("text"))
            indent = match["indent"]
            code = "".join(
                part.removeprefix(indent) for part in match["text"].splitlines(keepends=True)
            )
            mark = match["mark"] or ""
            yield Block(page, line, language, code, "" if mark.startswith("generated: ") else mark)
