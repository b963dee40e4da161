"""The browser of the tests sees what it must: errors, requests, and what axe-core finds."""

from pathlib import Path
from typing import TYPE_CHECKING

import browsing
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

GOOD = "<!doctype html><html lang=en><title>t</title><main><h1>Heading</h1><p>Text</p></main>"


@pytest.fixture
def page_of(tmp_path: Path) -> Path:
    return tmp_path / "page.html"


def test_a_good_page_opens_without_a_complaint(
    visit: browsing.Visit, page_of: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page_of.write_text(GOOD, encoding="utf-8")
    monkeypatch.setenv("SCREENSHOTS", str(page_of.parent / "kept"))
    page = visit(page_of, dark=True, size=browsing.PHONE)
    assert page.title() == "t"
    assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches && innerWidth") == browsing.PHONE[0]
    assert browsing.violations(page) == []
    assert browsing.screenshot(page, "good").read_bytes().startswith(b"\x89PNG")
    assert [each.name for each in (page_of.parent / "kept").iterdir()] == ["good.png"]


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("<script>console.error('no')</script>", "console: no"),
        ("<script>missing()</script>", "exception: missing is not defined"),
        ("<script>fetch('http://localhost:9/x').catch(() => {})</script>", "request: http://localhost:9/x"),
        ("<img src='http://localhost:9/x.png' alt=''>", "request: http://localhost:9/x.png"),
        ("<script src='beside.js'></script>", "console: Failed to load resource: net::ERR_FILE_NOT_FOUND"),
    ],
)
def test_what_a_page_must_not_do_is_noted(browser: "Browser", page_of: Path, body: str, problem: str) -> None:
    page_of.write_text(GOOD + body, encoding="utf-8")
    visit = browsing.Visit(browser)
    page = visit(page_of)
    page.wait_for_load_state("networkidle")
    page.context.close()
    assert problem in visit.problems


def test_what_axe_finds_serious_is_reported(visit: browsing.Visit, page_of: Path) -> None:
    page_of.write_text(GOOD + "<input><button></button>", encoding="utf-8")
    found = browsing.violations(visit(page_of))
    assert sorted(each.partition(":")[0] for each in found) == ["button-name", "label"]


def test_a_missing_browser_is_a_reason_to_skip(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("playwright")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(pytest.skip.Exception, match="needs a browser"), browsing.chromium():
        pass
