"""One look for all drawings: small, quiet, the same bytes each time, legible in light and dark."""

from __future__ import annotations

import io
import re
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Text and lines, light to dark. In a page they follow the page's own colours.
INK = "#1f2328"
MUTED = "#6b7280"
GRID = "#e3e5e8"
# For series, in this order. The first five of Okabe and Ito's palette for colour-blind readers
# (Color Universal Design, 2008), the yellow left out because it vanishes on white.
PALETTE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00")

_CSS_NAMES = {
    INK: "ink",
    MUTED: "muted",
    GRID: "rule",
    **{colour: f"series-{number}" for number, colour in enumerate(PALETTE, start=1)},
}

_STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": GRID,
    "axes.grid": True,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 9,
    "figure.constrained_layout.wspace": 0.06,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    # Outlines instead of letters would hide the class names from search and screen readers.
    "svg.fonttype": "none",
    # Without a fixed salt the ids differ from run to run.
    "svg.hashsalt": "avel-tf",
    # A class may be called "$1 coin$"; nothing here is a formula.
    "text.parse_math": False,
    "text.color": INK,
    "xtick.color": MUTED,
    "xtick.labelcolor": MUTED,
    "xtick.major.size": 0,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
    "ytick.major.size": 0,
}


def new_figure(width: float = 7.2, height: float = 2.8, **grid: Any) -> tuple[Figure, Any]:
    """Makes an empty drawing in the house style.

    It belongs to no window, and nothing has to be closed. Whatever is drawn on it belongs inside
    `with style():`.

    Args:
        width: In inches; 7.2 is the width of a page's text.
        height: In inches.
        **grid: `nrows`, `ncols`, `sharex` … of `Figure.subplots`.

    Returns:
        The figure, and its axes or array of axes.
    """
    from matplotlib.figure import Figure

    with style():
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure, figure.subplots(**grid)


def style() -> Any:
    """The house style, as a context: ticks and legends take their look when they are made."""
    import matplotlib
    from cycler import cycler

    return matplotlib.rc_context({**_STYLE, "axes.prop_cycle": cycler(color=PALETTE)})


def figure_to_svg(figure: Figure, description: str = "") -> str:
    """Writes a drawing as SVG that can stand inside an HTML page.

    The same figure gives the same bytes. The colours of this module become CSS variables
    (`--ink`, `--muted`, `--rule`, `--series-1` …), so that the drawing follows a page into the
    dark, and keeps its colours where there is no page.

    Args:
        figure: A figure from `new_figure`.
        description: What a screen reader says in its place.

    Returns:
        One `<svg>` element.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    buffer = io.StringIO()
    with style(), warnings.catch_warnings():
        # Class names in scripts that the measuring font lacks are drawn by the browser's fonts.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        FigureCanvasSVG(figure).print_svg(
            buffer, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type"))
        )
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # Every figure has an "axes_1"; a page may hold each id once.
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    # Its one style rule is for every element of the page; as attributes it stays in the drawing.
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)
    joins = 'stroke-linejoin="round" stroke-linecap="butt"'
    for colour, name in _CSS_NAMES.items():
        svg = svg.replace(f": {colour}", f": var(--{name}, {colour})")
    label = description.translate({38: "&amp;", 34: "&quot;", 60: "&lt;", 62: "&gt;"})
    return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" {joins} ', 1)


def standing_alone(svg: str) -> str:
    """Return a drawing as a file of its own: on white, since there is no page with colours.

    Args:
        svg: What `figure_to_svg` returned.
    """
    # Many programs that show SVG know no CSS variables.
    plain = re.sub(r"var\(--[\w-]+, (#[0-9a-f]{6})\)", r"\1", svg)
    tag, rest = plain.split(">", 1)
    return f'{tag}>\n<rect width="100%" height="100%" fill="#ffffff"/>{rest}\n'
