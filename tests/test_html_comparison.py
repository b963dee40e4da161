"""comparison.html in a real browser: the first screen, the figure of ratios, all cases, environments, hostile text."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import browsing
import pytest
import rows
from commands import bench
from rows import FULL, LOCAL, OOM, QUIET

from attnbench.reports import html as extra
from attnbench.reports.compare import html
from attnbench.reports.compare.between_runs import compare
from attnbench.reports.compare.comparison import Comparison
from attnbench.reports.compare.gate import STRICT, held
from attnbench.reports.compare.within_run import within
from attnbench.reports.findings.run import load

if TYPE_CHECKING:
    from playwright.sync_api import Page

LENGTHS = (256, 512, 1024, 2048, 4096, 8192)
BEFORE = replace(QUIET, lengths=LENGTHS, directions=("forward", "training"))
AFTER = replace(
    BEFORE,
    seed=1,
    series=(
        replace(FULL, at_1024_ns=FULL.at_1024_ns * 0.7),
        replace(LOCAL, at_1024_ns=LOCAL.at_1024_ns * 1.3, bytes_at_1024=2**24, endings={4096: OOM}),
    ),
)
HOSTILE = ("<img src=x onerror=alert(1)>", "</script><script>alert(2)</script>", "{{ 7 * 7 }}", "&lt;b&gt;\u2028")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    folder = tmp_path_factory.mktemp("compared")
    a = load(rows.write_on(folder / "a", BEFORE, load=0.1))
    b = load(rows.write_on(folder / "b", AFTER, load=7.25))
    return held(compare(a, b), STRICT)


@pytest.fixture(scope="module")
def path(found: Comparison, tmp_path_factory: pytest.TempPathFactory) -> Path:
    written = html.write(found, tmp_path_factory.mktemp("page"), "bench compare a b")
    assert written is not None
    return written


@pytest.fixture
def page(visit: browsing.Visit, path: Path) -> "Page":
    return visit(path)


def test_the_first_screen_has_the_verdict_and_the_ten_worst(page: "Page", found: Comparison) -> None:
    worst = page.locator("table.worst").first.locator("tbody tr")
    assert worst.count() == 10
    frame = found.worst_first
    for row, (_, case) in zip(worst.all(), frame.head(10).iterrows(), strict=True):
        text = row.inner_text()
        assert str(case["label"]) in text
        assert str(case["verdict"]) in text
    last = worst.last.bounding_box()
    assert last is not None
    assert last["y"] + last["height"] < browsing.WIDE[1], "without scrolling"
    browsing.screenshot(page, "comparison-light")


def test_ratios_are_drawn_at_their_places(page: "Page", found: Comparison) -> None:
    axis, drawn = html.ratios(found)
    frame = found.worst_first
    assert len(drawn) == len(frame)
    known = [(each, ratio) for each, ratio in zip(drawn, frame["ratio"], strict=True) if not math.isnan(ratio)]
    places = [(each.middle - axis.one) / math.log(ratio) for each, ratio in known]
    assert places == pytest.approx([places[0]] * len(places), abs=2), "on one logarithmic axis"
    assert all(each.low <= each.middle <= each.high for each, _ in known)
    assert all(0 <= end <= axis.width for each, _ in known for end in (each.low, each.high, *each.band))
    page.locator("#ratios > summary").click()
    dots = page.locator("#ratios circle")
    assert [float(each.get_attribute("cx") or "nan") for each in dots.all()] == [each.middle for each, _ in known]


def test_all_cases_are_in_the_table_with_the_search_of_runs(page: "Page", found: Comparison) -> None:
    shown = page.locator("#cases-table > tbody > tr:not(.details-row)")
    assert shown.count() == len(found.frame) == 24
    page.select_option("#cases-status", "error")
    assert shown.count() == 2
    page.select_option("#cases-status", "")
    page.fill("#cases-condition", "ratio > 1.2 and N < 1024")
    assert shown.count() == ((found.frame["ratio"] > 1.2) & (found.frame["seq_len"] < 1024)).sum() == 4
    page.fill("#cases-condition", "memory == regressed")
    assert shown.count() == (found.frame["memory"] == "regressed").sum()
    page.fill("#cases-condition", "")
    shown.first.click()
    details = page.locator(".details").inner_text()
    assert str(found.worst_first["case"].iloc[0]) in details


def test_environments_stand_side_by_side(page: "Page") -> None:
    page.locator("#environments").evaluate("each => each.open = true")
    marked = page.locator("#environments tr.differs")
    assert [row.locator("td, th").all_inner_texts() for row in marked.all()] == [["load", "0.1", "7.25", "differs"]]
    page.locator("#commands > summary").click()
    commands = page.locator("#commands code").all_inner_texts()
    assert commands == ["bench run synthetic.yaml", "bench run synthetic.yaml", "bench compare a b"]


@pytest.mark.parametrize(("name", "size", "dark"), [("phone", browsing.PHONE, False), ("dark", browsing.WIDE, True)])
def test_dark_and_phone(visit: browsing.Visit, path: Path, name: str, size: tuple[int, int], dark: bool) -> None:
    page = visit(path, size=size, dark=dark)
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    for each in page.locator("details").all():
        each.evaluate("each => each.open = true")
    assert browsing.violations(page) == []
    browsing.screenshot(page, f"comparison-{name}")


def test_hostile_text_stays_text(visit: browsing.Visit, tmp_path: Path) -> None:
    folders = [rows.write_on(tmp_path / HOSTILE[2], BEFORE), rows.write_on(tmp_path / "b", AFTER)]
    for folder in folders:
        told = json.loads((folder / "run.json").read_text())
        for number, each in enumerate(told["cases"]):
            each["label"] = HOSTILE[number % len(HOSTILE)]
        told["command"] = f"bench run '{HOSTILE[0]}'"
        told["environment"] |= {HOSTILE[1]: HOSTILE[0], "python": HOSTILE[2]}
        (folder / "run.json").write_text(json.dumps(told))
    found = held(compare(load(folders[0]), load(folders[1]), name=HOSTILE[1]), STRICT)
    page = visit(html.write(found, tmp_path, HOSTILE[1]) or tmp_path)
    for each in page.locator("details").all():
        each.evaluate("each => each.open = true")
    text = page.locator("main").inner_text()
    assert [each for each in HOSTILE[:3] if each not in text] == []
    assert page.locator("img, main b").count() == 0
    assert page.locator("h1").inner_text().endswith(f"against {HOSTILE[1]}")


def test_a_run_against_itself_and_a_comparison_of_nothing(visit: browsing.Visit, tmp_path: Path) -> None:
    for name in ("alone", "nothing"):
        (tmp_path / name).mkdir()
    run = load(rows.write(tmp_path / "run", BEFORE))
    alone = visit(html.write(within(run, "variant"), tmp_path / "alone") or tmp_path)
    assert alone.locator("table.worst").first.locator("tbody tr").count() == 10
    other = load(rows.write(tmp_path / "other", replace(BEFORE, series=(FULL,))))
    nothing = html.write(within(other, "variant"), tmp_path / "nothing") or tmp_path
    assert "no two cases differ by that alone" in visit(nothing).locator("main").inner_text()


def test_every_verb_writes_it_or_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in "ab":
        rows.write(tmp_path / name, QUIET)
    assert bench("compare", "a", "b", "--out", "compared")[0] == 0
    assert bench("check", "b", "--baseline", "a", "--out", "checked")[0] == 0
    for folder in ("compared", "checked"):
        assert (tmp_path / folder / "comparison.html").stat().st_size < 3e6
    monkeypatch.setattr(extra, "PACKAGES", ("no_such_package",))
    code, output = bench("compare", "a", "b", "--out", "without")
    assert code == 0
    assert "attnbench[html]" in output
    assert (tmp_path / "without" / "comparison.md").exists()
    assert not (tmp_path / "without" / "comparison.html").exists()
