"""Charts as numbers: bars for a template to write as SVG, so that none needs a script.

templates/partials/_chart.html shows a Chart with its table, _sparkline.html a Sparkline; static/emailgistics/charts.css
has a colour for each kind.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

GAP = 0.25  # of a column's width, between two of them
LEAST = 1.0  # the height of what is small beside the largest: once is not never
WIDTH, HEIGHT = 600, 160
SPARK_WIDTH, SPARK_HEIGHT = 84, 24

Counts = Mapping[str, int | None]  # by kind


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle, in units of the viewBox, whose y axis points down."""

    kind: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Kind:
    """What a bar's colour stands for. name is what the style sheet knows it by."""

    name: str
    label: str


@dataclass(frozen=True, slots=True)
class Cell:
    text: str
    href: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table, and a column of the picture. told is for who points at it."""

    label: str
    counts: Counts
    told: str
    cells: Sequence[Cell]


@dataclass(frozen=True, slots=True)
class Column:
    x: float
    title: str
    bars: Sequence[Bar]


@dataclass(frozen=True, slots=True)
class Chart:
    """words are for who does not see it; head and table name the table; first and last are below its ends."""

    words: str
    kinds: Sequence[Kind]
    columns: Sequence[Column]
    rows: Sequence[Row]
    most: str
    head: str
    table: str
    first: str = ""
    last: str = ""
    nothing: str = ""  # in place of a picture without bars: what to do
    has_table: bool = True

    @property
    def is_empty(self) -> bool:
        return not any(column.bars for column in self.columns)

    @property
    def column_width(self) -> float:
        return _short(WIDTH / max(1, len(self.columns)))


@dataclass(frozen=True, slots=True)
class Sparkline:
    words: str
    bars: Sequence[Bar]
    below: str = ""  # in small, under it
    nothing: str = ""


def columns(rows: Sequence[Row], *, is_stacked: bool) -> list[Column]:
    """The picture of these rows: the kinds of one on top of each other, or side by side."""
    draw = stacked if is_stacked else grouped
    bars = draw([row.counts for row in rows], width=WIDTH, height=HEIGHT)
    step = WIDTH / max(1, len(rows))
    return [Column(_short(number * step), row.told, bars[number]) for number, row in enumerate(rows)]


def sparkline(counts: Sequence[Counts], *, words: str, below: str = "", nothing: str = "") -> Sparkline:
    bars = stacked(counts, width=SPARK_WIDTH, height=SPARK_HEIGHT)
    return Sparkline(words, [bar for column in bars for bar in column], below, nothing)


def most_of(rows: Sequence[Row], *, is_stacked: bool) -> int:
    """What the top of the picture stands for."""
    add = sum if is_stacked else max
    return max((add([count or 0 for count in row.counts.values()] or [0]) for row in rows), default=0)


def stacked(columns: Sequence[Counts], *, width: float, height: float) -> list[list[Bar]]:
    """A bar for each kind of a column that is not 0, the first at the bottom; the highest column fills it."""
    most = max((sum(count or 0 for count in column.values()) for column in columns), default=0)
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


def grouped(columns: Sequence[Counts], *, width: float, height: float) -> list[list[Bar]]:
    """The same, but each kind has a place of its own beside the others; the highest bar fills it."""
    most = max((count or 0 for column in columns for count in column.values()), default=0)
    step = width / max(1, len(columns))
    chart = []
    for number, column in enumerate(columns):
        wide = step * (1 - GAP) / max(1, len(column))
        bars = []
        for place, (kind, count) in enumerate(column.items()):
            if count:
                high = max(LEAST, count / most * height)
                left = (number + GAP / 2) * step + place * wide
                bars.append(Bar(kind, _short(left), _short(height - high), _short(wide), _short(high)))
        chart.append(bars)
    return chart


def _short(number: float) -> float:
    return round(number, 2)
