"""Pages in HTML, one file each, that open without a network. They need the packages of the extra `html`."""

from importlib.util import find_spec

PACKAGES = ("bokeh", "itables", "jinja2", "markdown_it")
"""What the pages import. They are optional, so that other reports work without them."""
HINT = "for report.html: pip install 'attnbench[html]'"


def installed() -> bool:
    """Check whether the packages for pages in HTML are here."""
    return all(find_spec(name) for name in PACKAGES)
