"""Pages of docs/ that are made from the code: one module each, `text()` is the page. `make docs` writes them."""

import importlib
import pkgutil
from collections.abc import Callable
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"


def pages() -> dict[Path, Callable[[], str]]:
    """Every page, and what makes its text."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))
    return {DOCS / f"{name}.md": importlib.import_module(f"{__name__}.{name}").text for name in names}


def pictures() -> dict[Path, str]:
    """The pictures of the page on variants."""
    from pages import variants

    return {DOCS / path: picture for path, picture in variants.pictures().items()}
