"""Charts as numbers: bars for a template to write as SVG, so that none needs a script."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

GAP = 0.25  # of a column's width, between two of them
LEAST = 1.0  # the height of what is small beside the largest: once is not never


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle, in units of the viewBox, whose y axis points down."""

    kind: str
    x: float
    y: float
    width: float
    height: float


def stacked(columns: Sequence[Mapping[str, int]], *, width: float, height: float) -> list[list[Bar]]:
    """A bar for each kind of a column that is not 0, the first at the bottom; the highest column fills it."""
    most = max((sum(column.values()) for column in columns), default=0)
    step = width / max(1, len(columns))
    chart = []
    for number, column in enumerate(columns):
        bars, floor = [], height
        for kind, count in column.items():
            if count:
                high = max(LEAST, count / most * height)
                floor = max(0.0, floor - high)
                left = (number + GAP / 2) * step
                bars.append(Bar(kind, _short(left), _short(floor), _short(step * (1 - GAP)), _short(high)))
        chart.append(bars)
    return chart


def _short(number: float) -> float:
    return round(number, 2)
