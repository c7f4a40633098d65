"""Self-contained HTML pages from the templates of this package."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from markupsafe import Markup


def render_page(template: str, **values: Any) -> str:
    """Render a template. All values are escaped, because file names and labels are untrusted.

    Args:
        template: A file of `avel_tf/reports/templates/`, which extends `page.html`.
        **values: Variables of the template. Only figures from `figure_to_svg` are inserted with the
            filter `safe`, and data from `data_block`. A missing variable is an error.

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


def data_block(value: Any) -> Markup:
    """JSON for a `<script type="application/json">` element.

    `<`, `>`, `&` and all characters beyond ASCII are escaped, so no text in it can end the element
    or begin another one.

    Args:
        value: A JSON value.
    """
    from markupsafe import Markup

    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(text)
