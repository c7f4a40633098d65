"""Pages: everything escaped, nothing forgotten."""

from __future__ import annotations

import jinja2
import pytest

from avel_tf.reports.html import render_page


def test_a_missing_template_value_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError, match="name|printable"):
        render_page("audit.html")


def test_the_base_page_allows_nothing_from_elsewhere() -> None:
    page = render_page("page.html")
    assert "default-src 'none'" in page
    assert "prefers-color-scheme: dark" in page and "@media print" in page
