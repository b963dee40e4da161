"""The documentation as a site: it builds without a warning, its links lead somewhere, and it asks no other host."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

pytest.importorskip("material", reason="needs mkdocs-material, of the extra dev")
ROOT = Path(__file__).resolve().parents[1]
_LOADED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src", "object": "data"}
"""What a browser fetches with a page, by tag."""


class Links(HTMLParser):
    """The targets of a page: of what is fetched with it, of what can be clicked, and its anchors."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.clicked: list[str] = []
        self.anchors: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        self.loaded += [each for each in [told.get(_LOADED.get(tag, ""))] if each]
        self.clicked += [each for each in [told.get("href") if tag == "a" else None] if each]
        self.anchors |= {each for each in (told.get("id"), told.get("name")) if each}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    variables = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Links]:
    # The page for what is not found is served at any depth, so its links begin at the root of the site.
    return {page: Links(page) for page in site.rglob("*.html") if page.name != "404.html"}


def test_every_page_of_the_documentation_is_in_the_site(site: Path, pages: dict[Path, Links]) -> None:
    sources = {page.relative_to(ROOT / "docs").with_suffix(".html") for page in (ROOT / "docs").rglob("*.md")}
    written = {page.with_name("index.html") if page.stem == "README" else page for page in sources}
    others = {Path(f"{name}.html") for name in ("index", "contributing", "changelog")}
    assert written | others == {page.relative_to(site) for page in pages}


def test_every_page_can_be_reached_from_the_first(site: Path, pages: dict[Path, Links]) -> None:
    first = {urlsplit(each).path for each in pages[site / "index.html"].clicked}
    assert {page.relative_to(site).as_posix() for page in pages} - {"index.html"} <= first


def test_links_lead_somewhere(pages: dict[Path, Links]) -> None:
    lost = []
    for page, links in pages.items():
        for link in links.loaded + links.clicked:
            target = urlsplit(link)
            if target.scheme or target.netloc:
                continue
            file = (page.parent / unquote(target.path)).resolve() if target.path else page
            file = file / "index.html" if file.is_dir() else file
            anchored = not target.fragment or file not in pages or unquote(target.fragment) in pages[file].anchors
            if not file.is_file() or not (anchored or target.fragment == "__top"):
                lost.append(f"{page.name}: {link}")
    assert lost == []


def test_nothing_is_fetched_from_another_host(site: Path, pages: dict[Path, Links]) -> None:
    asked = [(page.name, link) for page, links in pages.items() for link in links.loaded if urlsplit(link).netloc]
    styles = [(file.name, url) for file in site.rglob("*.css") for url in _urls(file.read_text(encoding="utf-8"))]
    assert (asked, styles) == ([], [])


def _urls(style: str) -> list[str]:
    """The addresses that a style sheet fetches."""
    found = re.findall(r"(?:url\(|@import\s)\s*[\"']?([^\"')\s]+)", style)
    return [url for url in found if urlsplit(url).netloc]


def test_files_of_the_repository_are_texts(site: Path) -> None:
    assert (site / "files" / "LICENSE.txt").read_text() == (ROOT / "LICENSE").read_text()
    assert "files/variants/linear.py.txt" in (site / "add-a-variant.html").read_text()


def test_lists_and_tables_are_not_paragraphs(pages: dict[Path, Links]) -> None:
    """GitHub begins a list or a table right after a line of text; mkdocs needs an empty line before."""
    for page in pages:
        body = re.sub(r"<(pre|code)\b.*?</\1>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        assert not re.search(r"<p>[^<]*\n(?:- |\| |\d+\. )", body), page.name
