"""`make docs`: writes the pages of docs/ that are generated, and their pictures."""

import importlib
import pkgutil
from pathlib import Path

import pages

from attnbench.reports.files import put

DOCS = Path(__file__).resolve().parents[2] / "docs"

for name in sorted(each.name for each in pkgutil.iter_modules(pages.__path__) if each.name != "__main__"):
    page = importlib.import_module(f"pages.{name}")
    made = {f"{name}.md": page.text(), **getattr(page, "pictures", dict)()}
    for path, content in made.items():
        (DOCS / path).parent.mkdir(parents=True, exist_ok=True)
        print(put(DOCS / path, content))
