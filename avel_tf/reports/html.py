"""Self-contained HTML pages from the templates of this package."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def render_page(template: str, **values: Any) -> str:
    """Fills a template; every value is escaped, because file names and labels may be hostile.

    Args:
        template: A file of `avel_tf/reports/templates/`, which extends `page.html`.
        **values: What the template shows. Figures from `figure_to_svg` are inserted with the filter
            `safe`; nothing else is. A value that the template names and nobody gave
            is an error, not an empty place.

    Returns:
        One HTML document that loads nothing from elsewhere.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("avel_tf.reports", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)


def write_page(path: str | Path, template: str, **values: Any) -> None:
    """Fills a template and writes the page.

    Args:
        path: The HTML file to write; its folder is made when it is missing.
        template: As in `render_page`.
        **values: As in `render_page`.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(render_page(template, **values), "utf-8", newline="\n")
