"""The ratios to the bare chain as bars, drawn by hand: a few lines of SVG need no library."""

from collections.abc import Sequence
from html import escape

from benchmarks.speed.contenders import BASELINE, CONTENDERS
from benchmarks.speed.result import Result
from benchmarks.speed.summary import Spread, ratios, spread

__all__ = ["plot"]

_WIDTH, _LEFT, _RIGHT = 760, 190, 60
_ROW, _BAR, _TOP = 26, 16, 34

#: Celery-sagas, those with a record, and those without one.
_COLOURS = ("#00796b", "#78909c", "#cfd8dc")

_PANELS = {
    "Throughput, as a multiple of the bare chain's (more is better)": "sagas_s",
    "CPU time for a saga, as a multiple of the bare chain's (less is better)": "cpu_ms",
}


def plot(result: Result) -> str:
    """Draw a panel for throughput and one for CPU time: medians, and lines from least to most."""
    panels = [(title, _bars(result, metric)) for title, metric in _PANELS.items()]
    height = sum(_TOP + _ROW * len(bars) for _, bars in panels) + 10
    lines = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
            'font-family="sans-serif" font-size="13">'
        ),
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
    ]
    top = 0
    for title, bars in panels:
        lines += _panel(title, bars, top)
        top += _TOP + _ROW * len(bars)
    return "\n".join([*lines, "</svg>", ""])


def _bars(result: Result, metric: str) -> list[tuple[str, Spread]]:
    found = (
        (name, spread(ratios(result.rounds, name, metric, to=BASELINE)))
        for name in result.contenders
    )
    return [(name, ratio) for name, ratio in found if ratio]


def _panel(title: str, bars: Sequence[tuple[str, Spread]], top: int) -> list[str]:
    most = max((ratio.maximum for _, ratio in bars), default=1.0)
    scale = (_WIDTH - _LEFT - _RIGHT) / most
    lines = [f'<text x="10" y="{top + 22}" font-weight="bold">{escape(title)}</text>']
    one, low, high = _LEFT + scale, top + _TOP - 4, top + _TOP + _ROW * len(bars) - 6
    lines.append(f'<path d="M{one:.1f} {low}V{high}" stroke="black" stroke-dasharray="3 3"/>')
    for number, (name, ratio) in enumerate(bars):
        lines += _bar(name, ratio, top + _TOP + _ROW * number, scale)
    return lines


def _bar(name: str, ratio: Spread, y: int, scale: float) -> list[str]:
    low, middle, high = (_LEFT + scale * value for value in ratio)
    centre, text = y + _BAR / 2, y + _BAR - 3
    bar = f'x="{_LEFT}" y="{y}" width="{middle - _LEFT:.1f}" height="{_BAR}"'
    label = f'x="{_LEFT - 8}" y="{text}" text-anchor="end"'
    # With a white rim, as it may stand on the line of the bare chain.
    number = f'x="{high + 6:.1f}" y="{text}" paint-order="stroke" stroke="white" stroke-width="4"'
    return [
        f"<text {label}>{escape(CONTENDERS[name].title)}</text>",
        f'<rect {bar} fill="{_colour(name)}"/>',
        f'<path d="M{low:.1f} {centre}H{high:.1f}" stroke="black"/>',
        f"<text {number}>{ratio.median:.2f}</text>",
    ]


def _colour(name: str) -> str:
    if CONTENDERS[name].is_ours:
        return _COLOURS[0]
    return _COLOURS[1] if CONTENDERS[name].keeps_record else _COLOURS[2]
