"""Self-contained HTML pages from the templates of this package."""

from __future__ import annotations

from typing import Any


def render_page(template: str, **values: Any) -> str:
    """Render a template. All values are escaped, because file names and labels are untrusted.

    Args:
        template: A file of `avel_tf/reports/templates/`, which extends `page.html`.
        **values: Variables of the template. Only figures from `figure_to_svg` are inserted with the
            filter `safe`. A missing variable is an error.

    Returns:
        One self-contained HTML document.
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
