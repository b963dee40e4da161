"""What the site adds to docs/: pages of the repository's root, and files that pages link to.

On GitHub, pages link to each other by their places in the repository. Here links are rewritten to their places in the
site.
"""

import os
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Pages in the root of the repository, and their names in the site."""
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)(?=[)#])")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the root, and the files of the repository that a page links to."""
    for name, place in PAGES.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / name)))
    for source in [*map(ROOT.joinpath, PAGES), *Path(config.docs_dir).rglob("*.md")]:
        for link in _LINK.findall(source.read_text(encoding="utf-8")):
            path = (source.parent / link).resolve()
            place = _place(path)
            if path.is_file() and place.startswith("files/") and files.get_file_from_path(place) is None:
                files.append(File.generated(config, place, content=path.read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite links to their places in the site, as seen from the page."""
    del config, files
    source, folder = Path(page.file.abs_src_path or "").parent, Path(page.file.src_uri).parent
    return _LINK.sub(lambda found: os.path.relpath(_place((source / found[1]).resolve()), folder), markdown)


def _place(path: Path) -> str:
    """Return the place of a file of the repository in the site.

    Files that are no pages are texts in `files`, so that a browser shows them.
    """
    if path.is_relative_to(ROOT / "docs"):
        return path.relative_to(ROOT / "docs").as_posix()
    name = path.relative_to(ROOT).as_posix()
    return PAGES.get(name, f"files/{name}.txt")
