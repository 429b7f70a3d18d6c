"""Durations on the command line: 90s, 30m, 2h, 7d."""

import re

import click

__all__ = ["age"]

#: A hundred years: nothing is older, and no database reaches back for ever.
LONGEST_S = 100 * 365 * 86_400.0

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def age(text: str) -> float:
    """Read a number with a unit as seconds, or explain the format; the type of an option."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if match is None:
        raise click.BadParameter(f"{text!r} is not a duration: write 90s, 30m, 2h or 7d.")
    return min(float(match[1]) * _UNITS[match[2]], LONGEST_S)
