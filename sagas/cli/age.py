"""Durations on the command line: 90s, 30m, 2h, 7d."""

import re
from typing import Any

import click

__all__ = ["Age"]

#: A hundred years: nothing is older, and no database reaches back for ever.
LONGEST_S = 100 * 365 * 86_400.0

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


class Age(click.ParamType[float]):
    """A number with a unit; becomes seconds."""

    name = "age"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read it, or explain the format."""
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", str(value))
        if match is None:
            self.fail(f"{value!r} is not a duration: write 90s, 30m, 2h or 7d.", param, ctx)
        return min(float(match[1]) * _UNITS[match[2]], LONGEST_S)
