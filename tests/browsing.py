"""A real browser for the pages that we write: Debian's or Google's chromium, driven by playwright.

A page is one local file. `Visit` records what it must not do: complain on its console, or ask for anything beside
itself. Screenshots are kept in the folder that SCREENSHOTS names, else in build/screenshots.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
INLINE = ("data:", "blob:", "about:")
PATIENCE_MS = 10_000
WIDE, PHONE = (1280, 800), (390, 844)


@contextmanager
def chromium() -> Iterator["Browser"]:
    """A browser without a window; the test is skipped where playwright or a browser is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip(f"needs a browser: none of {', '.join(PROGRAMS)} is on the path")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=[*FLAGS])
        try:
            yield browser
        finally:
            browser.close()


class Visit:
    """Visits local pages, and records what they do."""

    def __init__(self, browser: "Browser") -> None:
        self._browser = browser
        self.problems: list[str] = []
        """Errors on the console, exceptions, and requests for anything but the page."""

    def __call__(self, path: Path, *, size: tuple[int, int] = WIDE, dark: bool = False, **options: Any) -> "Page":
        """Open a file; `options` are those of playwright's `new_context`."""
        width, height = size
        context = self._browser.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light", **options
        )
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", lambda said: self._note(said.type in ("error", "warning"), f"console: {said.text}"))
        page.on("pageerror", lambda error: self._note(True, f"exception: {error}"))
        own = (path.resolve().as_uri(), *INLINE)
        page.on("request", lambda asked: self._note(not asked.url.startswith(own), f"request: {asked.url[:200]}"))
        page.goto(path.resolve().as_uri())
        return page

    def _note(self, bad: bool, what: str) -> None:
        if bad:
            self.problems.append(what)


def screenshot(page: "Page", name: str, *, whole: bool = False) -> Path:
    """Keep a picture of the window, or of the whole page, as an artefact."""
    folder = Path(os.environ.get("SCREENSHOTS") or ROOT / "build" / "screenshots")
    path = folder / f"{name}.png"
    page.screenshot(path=path, full_page=whole)
    return path


def violations(page: "Page", within: str = "body") -> list[str]:
    """What axe-core finds serious or critical on a page, for those who do not see or cannot use a mouse."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python").Axe()
    found = axe.run(page, context=within).response["violations"]
    return [
        f"{each['id']}: {each['help']} ({'; '.join(node['html'][:200] for node in each['nodes'][:3])})"
        for each in found
        if each["impact"] in ("serious", "critical")
    ]
