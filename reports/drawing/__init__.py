"""Tools for all figures: panels, ticks, colours and files.

Import this package before matplotlib. Matplotlib looks for a folder for its settings and list of fonts when it is
imported, and warns if it cannot write there. This package gives it another one in that case.
"""

import atexit
import logging
import os
import shutil
import sys
import tempfile
from pathlib import Path


def prepare() -> None:
    """Set MPLCONFIGDIR to a temporary folder if the user's or the usual one cannot be written."""
    if "matplotlib" in sys.modules or all(map(_can_write, _folders())):
        return
    folder = tempfile.mkdtemp(prefix="attnbench-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["MPLCONFIGDIR"] = folder
    # In a new folder matplotlib rebuilds its list of fonts, and would log this each time.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)


def _folders() -> list[str]:
    """Return the folders that matplotlib would write to."""
    given = os.environ.get("MPLCONFIGDIR")
    if given:
        return [given]
    if not sys.platform.startswith(("linux", "freebsd")):
        return [os.path.expanduser("~/.matplotlib")]
    usual = {"XDG_CONFIG_HOME": "~/.config", "XDG_CACHE_HOME": "~/.cache"}
    bases = [os.environ.get(name) or os.path.expanduser(path) for name, path in usual.items()]
    return [os.path.join(base, "matplotlib") for base in bases]


def _can_write(folder: str) -> bool:
    """Check whether the folder exists or can be created, and is writable."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


prepare()
