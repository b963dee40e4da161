"""What every figure is drawn with: panels, ticks, colours and files.

Import this package before matplotlib. It gives matplotlib a folder for its settings and its list of fonts where the
usual one cannot be written; matplotlib looks for that folder when it is imported, and warns where there is none.
"""

import atexit
import logging
import os
import shutil
import sys
import tempfile
from pathlib import Path


def prepare() -> None:
    """Set MPLCONFIGDIR to a new folder, gone at the end, where what the user has set or the usual one is no use."""
    if "matplotlib" in sys.modules or all(map(_can_write, _folders())):
        return
    folder = tempfile.mkdtemp(prefix="attnbench-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["MPLCONFIGDIR"] = folder
    # The list of fonts is made anew each time; that this takes a moment would be told each time too.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)


def _folders() -> list[str]:
    """Where matplotlib would write."""
    given = os.environ.get("MPLCONFIGDIR")
    if given:
        return [given]
    if not sys.platform.startswith(("linux", "freebsd")):
        return [os.path.expanduser("~/.matplotlib")]
    usual = {"XDG_CONFIG_HOME": "~/.config", "XDG_CACHE_HOME": "~/.cache"}
    bases = [os.environ.get(name) or os.path.expanduser(path) for name, path in usual.items()]
    return [os.path.join(base, "matplotlib") for base in bases]


def _can_write(folder: str) -> bool:
    """Whether there is such a folder, or it can be made, and files can be made in it."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


prepare()
