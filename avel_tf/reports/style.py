"""Style of all figures: reproducible SVG that follows light and dark pages."""

from __future__ import annotations

import io
import re
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Text and lines. Within a page they follow its colours.
INK = "#1f2328"
MUTED = "#6b7280"
GRID = "#e3e5e8"
# Series, in this order: the first five colours of Okabe and Ito's palette for colour-blind readers
# (Color Universal Design, 2008), without yellow, which is illegible on white.
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
    # Text remains text, for search and screen readers.
    "svg.fonttype": "none",
    # A fixed salt makes the ids, and so the bytes, reproducible.
    "svg.hashsalt": "avel-tf",
    # A class may be called "$1 coin$", so text is never parsed as a formula.
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
    """Create an empty figure in the style of this package.

    The figure needs no window and no closing. Draw on it inside `with style():`.

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
    """Context manager with the style; ticks and legends use the style at their creation."""
    import matplotlib
    from cycler import cycler

    return matplotlib.rc_context({**_STYLE, "axes.prop_cycle": cycler(color=PALETTE)})


def figure_to_svg(figure: Figure, description: str = "") -> str:
    """Convert a figure to SVG for an HTML page.

    The same figure gives the same bytes. Colours of this module become CSS variables (`--ink`,
    `--muted`, `--rule`, `--series-1` …) with the colour as default, so that the figure follows a
    dark page.

    Args:
        figure: A figure from `new_figure`.
        description: Text for screen readers.

    Returns:
        One `<svg>` element.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    buffer = io.StringIO()
    with style(), warnings.catch_warnings():
        # Browsers have fonts for scripts that the measuring font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        FigureCanvasSVG(figure).print_svg(
            buffer, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type"))
        )
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # Every figure has an "axes_1", but ids must be unique within a page.
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    # Its style rule would apply to the whole page, so attributes replace it.
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)
    joins = 'stroke-linejoin="round" stroke-linecap="butt"'
    for colour, name in _CSS_NAMES.items():
        svg = svg.replace(f": {colour}", f": var(--{name}, {colour})")
    label = description.translate({38: "&amp;", 34: "&quot;", 60: "&lt;", 62: "&gt;"})
    return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" {joins} ', 1)


def standing_alone(svg: str) -> str:
    """SVG file content with a white background, without a page.

    Args:
        svg: Result of `figure_to_svg`.
    """
    # Many SVG viewers do not support CSS variables.
    plain = re.sub(r"var\(--[\w-]+, (#[0-9a-f]{6})\)", r"\1", svg)
    tag, rest = plain.split(">", 1)
    return f'{tag}>\n<rect width="100%" height="100%" fill="#ffffff"/>{rest}\n'
