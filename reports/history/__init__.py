"""Runs of one suite over commits: their values, where these change, and the files that show them."""

from importlib.util import find_spec

HINT = "expected the package ruptures, which finds changes, found none; pip install 'attnbench[html,history]'"
PAGE_HINT = "for history.html: pip install 'attnbench[html]'"


def installed() -> bool:
    """Check whether the package that finds change points is here. It is optional."""
    return find_spec("ruptures") is not None
