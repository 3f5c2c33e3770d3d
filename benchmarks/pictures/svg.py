"""A picture is a list of SVG elements and a style sheet: this file writes both.

Colors have names and two values, one for light pages and one for dark ones. A media query in the
style sheet chooses, so that one file serves both. It works in an <img>, because a browser hands
the color scheme of the page to the image. Each picture paints its own background. So it stays
readable where a page is dark and the browser still asks for the light colors.

Coordinates are rounded to a tenth of a pixel: the same numbers give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Literal

WIDTH = 830
"""Pixels of a picture: the width of a column of text on GitHub."""

FONT = "-apple-system, BlinkMacSystemFont, 'Segoe UI', 'Noto Sans', Helvetica, Arial, sans-serif"

COLORS = {
    "page": ("#ffffff", "#0d1117"),
    "ink": ("#1f2328", "#e6edf3"),
    "muted": ("#59636e", "#9198a1"),
    "line": ("#d1d9e0", "#3d444d"),
    "faint": ("#eef1f4", "#1c222a"),
    "blue": ("#0a5fc4", "#58a6ff"),
    "orange": ("#b84a00", "#ff9a57"),
    "green": ("#177245", "#4ac286"),
    "purple": ("#7c3fc4", "#c297ff"),
}
"""Each color on a light and on a dark page. Texts in any but the lines have a contrast of 4.5."""

Anchor = Literal["start", "middle", "end"]
Point = tuple[float, float]


def number(value: float) -> str:
    """A coordinate with at most one digit after the point.

    >>> number(3.14159), number(2.0), number(-0.01)
    ('3.1', '2', '0')
    """
    rounded = f"{value:.1f}".removesuffix(".0")
    return "0" if rounded == "-0" else rounded


class Picture:
    """Elements on a page of fixed width, in drawing order.

    Args:
        title: one sentence: what the picture shows. It is the text for people who cannot see it.
        description: what there is to see, with the numbers.
        height: pixels.
    """

    def __init__(self, title: str, description: str, height: float) -> None:
        self.title, self.description, self.height = title, description, height
        self._elements: list[str] = []
        self._classes: set[str] = set()

    def rect(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        fill: str = "",
        *,
        stroke: str = "",
        thickness: float = 1,
        opacity: float = 1,
        radius: float = 0,
    ) -> None:
        """A rectangle; opacity is that of its area."""
        corner = f' rx="{number(radius)}"' if radius else ""
        size = f'width="{number(width)}" height="{number(height)}"'
        looks = self._looks(fill, stroke, thickness, opacity)
        self._add(f'<rect x="{number(x)}" y="{number(y)}" {size}{corner}{looks}/>')

    def circle(
        self,
        x: float,
        y: float,
        radius: float,
        fill: str = "",
        *,
        stroke: str = "",
        thickness: float = 1,
        opacity: float = 1,
    ) -> None:
        """A dot, or a ring."""
        looks = self._looks(fill, stroke, thickness, opacity)
        self._add(f'<circle cx="{number(x)}" cy="{number(y)}" r="{number(radius)}"{looks}/>')

    def dots(
        self, points: Iterable[Point], radius: float, color: str, *, opacity: float = 1
    ) -> None:
        """Many dots of one kind, as one element."""
        d = "".join(f"M{number(x)} {number(y)}h0" for x, y in points)
        looks = self._looks("", color, 2 * radius, 1)
        looks += f' stroke-opacity="{opacity:.2g}"' if opacity < 1 else ""
        self._add(f'<path d="{d}" stroke-linecap="round"{looks}/>')

    def line(
        self,
        points: Iterable[Point],
        stroke: str = "ink",
        *,
        thickness: float = 1,
        dashes: str = "",
        arrow: bool = False,
        opacity: float = 1,
    ) -> None:
        """Straight pieces from point to point; an arrow has its head at the last one."""
        points = list(points)
        d = "M" + "L".join(f"{number(x)} {number(y)}" for x, y in points)
        looks = self._looks("", stroke, thickness, 1)
        looks += f' stroke-dasharray="{dashes}"' if dashes else ""
        looks += f' stroke-opacity="{opacity:.2g}"' if opacity < 1 else ""
        self._add(f'<path d="{d}"{looks}/>')
        if arrow:
            self._head(points[-2], points[-1], stroke, thickness)

    def curve(
        self, start: Point, end: Point, stroke: str, *, thickness: float = 1, bend: float = 0.5
    ) -> None:
        """An arrow that leaves and arrives horizontally."""
        (x0, y0), (x1, y1) = start, end
        middle = x0 + bend * (x1 - x0)
        ends = f"{number(middle)} {number(y0)} {number(middle)} {number(y1)}"
        d = f"M{number(x0)} {number(y0)}C{ends} {number(x1)} {number(y1)}"
        self._add(f'<path d="{d}"{self._looks("", stroke, thickness, 1)}/>')
        self._head((middle, y1), end, stroke, thickness)

    def area(self, points: Sequence[Point], fill: str, *, opacity: float = 1) -> None:
        """A filled polygon."""
        d = "M" + "L".join(f"{number(x)} {number(y)}" for x, y in points) + "Z"
        self._add(f'<path d="{d}"{self._looks(fill, "", 0, opacity)}/>')

    def text(
        self,
        x: float,
        y: float,
        words: str,
        color: str = "ink",
        *,
        size: float = 14,
        anchor: Anchor = "start",
        bold: bool = False,
        rotated: bool = False,
    ) -> None:
        """One line of text. Its letters are centered on the height y.

        Rotated, it runs upward around the point (x, y).
        """
        place = f'x="{number(x)}" y="{number(y + 0.35 * size)}"'
        if rotated:
            place += f' transform="rotate(-90 {number(x)} {number(y)})"'
        looks = f' class="{self._class("fill", color)}" font-size="{number(size)}"'
        looks += f' text-anchor="{anchor}"' if anchor != "start" else ""
        looks += ' font-weight="600"' if bold else ""
        self._add(f"<text {place}{looks}>{escape(words, quote=False)}</text>")

    def svg(self) -> str:
        """The file."""
        size = f'width="{WIDTH}" height="{number(self.height)}"'
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {WIDTH} '
                f'{number(self.height)}" role="img" aria-labelledby="title description">',
                f'<title id="title">{escape(self.title, quote=False)}</title>',
                f'<desc id="description">{escape(self.description, quote=False)}</desc>',
                f"<style>{self._style()}</style>",
                f'<rect class="fill-page" width="{WIDTH}" height="{number(self.height)}"/>',
                *self._elements,
                "</svg>\n",
            ]
        )

    def _add(self, element: str) -> None:
        self._elements.append(element)

    def _head(self, before: Point, tip: Point, color: str, thickness: float) -> None:
        (x0, y0), (x1, y1) = before, tip
        length = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
        u, v, size = (x1 - x0) / length, (y1 - y0) / length, 5 + 2 * thickness
        base = x1 - size * u, y1 - size * v
        half = 0.45 * size
        left, right = (
            (base[0] - half * v, base[1] + half * u),
            (base[0] + half * v, base[1] - half * u),
        )
        tip = x1 + 0.5 * u, y1 + 0.5 * v
        self.area([left, tip, right], color)

    def _looks(self, fill: str, stroke: str, thickness: float, opacity: float) -> str:
        classes = [self._class("fill", fill)] if fill else []
        classes += [self._class("stroke", stroke)] if stroke else []
        looks = f' class="{" ".join(classes)}"' if classes else ""
        looks += "" if fill else ' fill="none"'
        looks += f' fill-opacity="{opacity:.2f}"' if fill and opacity < 1 else ""
        looks += f' stroke-width="{number(thickness)}"' if stroke and thickness != 1 else ""
        return looks

    def _class(self, use: str, color: str) -> str:
        if color not in COLORS:
            raise KeyError(f"no color {color!r}: take one of {', '.join(COLORS)}")
        name = f"{use}-{color}"
        self._classes.add(name)
        return name

    def _style(self) -> str:
        def rules(scheme: int) -> str:
            return "".join(
                f".{name}{{{name.partition('-')[0]}:{COLORS[name.partition('-')[2]][scheme]}}}"
                for name in sorted(self._classes | {"fill-page"})
            )

        dark = f"@media(prefers-color-scheme:dark){{{rules(1)}}}"
        return f"text{{font-family:{FONT}}}path{{stroke-linejoin:round}}{rules(0)}{dark}"
