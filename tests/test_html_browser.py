"""report.html in a real browser: hover, legend, menus, folds, dark, phone, paper; and text that would be HTML."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import browsing
import pytest
import rows
from test_html_cases import HOSTILE, PLAN

from attnbench.reports.findings.run import Run, load
from attnbench.reports.html import page as page_of
from attnbench.reports.pages import run_report
from attnbench.reports.tables import tables

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHART = ".chart >> nth=0"


def written(folder: Path) -> Path:
    """The page of a run, without its other files."""
    run = load(folder)
    path = folder / "report.html"
    path.write_text(page_of.page(run, run_report.report(run, tables.markdown(run))), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(rows.write(tmp_path_factory.mktemp("run"), PLAN))


@pytest.fixture
def run(path: Path) -> Run:
    return load(path.parent)


def drawn(page: "Page") -> "Page":
    """The page once its last figure has its points."""
    page.wait_for_function(
        """() => {
            const charts = document.querySelectorAll(".chart").length;
            const points = globalThis.Bokeh?.documents.map((each) => each.get_model_by_name("points")?.data.x.length);
            return points?.length === charts && points.every(Boolean);
        }"""
    )
    return page


@pytest.fixture
def page(visit: browsing.Visit, path: Path) -> "Page":
    return drawn(visit(path))


def points(page: "Page") -> dict[str, list[Any]]:
    """The points of the first figure."""
    found: dict[str, list[Any]] = page.evaluate(
        """() => Object.fromEntries(Object.entries(Bokeh.documents[0].get_model_by_name("points").data)
            .map(([name, column]) => [name, Array.from(column)]))"""
    )
    return found


def point_at(page: "Page", index: int) -> None:
    """Move the mouse to a point of the first figure."""
    place = page.evaluate(
        """(index) => {
            const model = (name) => Bokeh.documents[0].get_model_by_name(name);
            const view = Bokeh.index.find_one(model("main"));
            const [{ x, y }, box] = [model("points").data, view.canvas_view.el.getBoundingClientRect()];
            return [box.x + view.frame.x_scale.compute(x[index]), box.y + view.frame.y_scale.compute(y[index])];
        }""",
        index,
    )
    page.mouse.move(*place)


def test_the_page_opens_with_question_answer_figure_and_table(page: "Page", path: Path, run: Run) -> None:
    assert page.locator("h1").inner_text() == run.meta["question"]
    assert 1 <= page.locator(".answer li").count() <= 3
    assert page.locator(".standing tbody tr").count() == len(run.summary.rows if run.summary else ())
    assert page.locator("#cases-table > tbody > tr").count() == 25
    assert browsing.violations(page) == []
    browsing.screenshot(page, "report-light")
    assert path.stat().st_size < 3_000_000


def test_a_point_says_what_it_is(page: "Page") -> None:
    found = points(page)
    point_at(page, 5)
    told = page.locator(".bk-tooltip-row-value")
    told.first.wait_for()
    assert {found["name"][5], found["value"][5], str(found["n"][5]), "passed"} <= {*told.all_inner_texts()}


def test_the_legend_hides_and_isolates(page: "Page") -> None:
    names = {*points(page)["name"]}
    box = page.locator(CHART).get_by_role("checkbox").nth(2)
    box.uncheck()
    (hidden,) = names - {*points(page)["name"]}
    box.check()
    assert {*points(page)["name"]} == names
    only = page.locator(CHART).get_by_role("button", name="only").nth(2)
    only.focus()
    page.keyboard.press("Enter")
    assert {*points(page)["name"]} == {hidden}
    only.click()
    assert {*points(page)["name"]} == names


def test_menus_choose_the_setting_and_the_metric(page: "Page") -> None:
    forward = points(page)
    menus = page.locator(CHART).locator("select")
    menus.nth(1).select_option("training")
    training = points(page)
    assert training["name"] == forward["name"]
    assert all(late > early for early, late in zip(forward["y"], training["y"], strict=True))
    menus.nth(0).select_option(index=1)
    assert points(page)["y"] != training["y"]


def test_sections_fold_open_by_the_keyboard(page: "Page") -> None:
    fold = page.locator("details.level2").first
    fold.locator("summary").first.focus()
    was = fold.get_attribute("open")
    page.keyboard.press("Enter")
    assert fold.get_attribute("open") != was


def test_the_page_is_dark_where_the_reader_wants_it(visit: browsing.Visit, path: Path, page: "Page") -> None:
    light = points(page)["colour"]
    page.context.close()
    dark = drawn(visit(path, dark=True))
    assert points(dark)["colour"] != light
    assert dark.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 23, 26)"
    assert browsing.violations(dark) == []
    browsing.screenshot(dark, "report-dark")


def test_the_page_fits_a_phone(visit: browsing.Visit, path: Path) -> None:
    page = drawn(visit(path, size=browsing.PHONE))
    assert page.evaluate("document.documentElement.scrollWidth") == browsing.PHONE[0]
    assert browsing.violations(page) == []
    browsing.screenshot(page, "report-phone", whole=True)


def test_paper_has_all_sections_and_all_cases(page: "Page", run: Run) -> None:
    closed = page.locator("details:not([open])").count()
    page.evaluate(
        """addEventListener("beforeprint", () => {
            globalThis.onPaper = [
                document.querySelectorAll("details:not([open])").length,
                document.querySelectorAll("#cases-table > tbody > tr").length,
            ];
        })"""
    )
    assert page.pdf().startswith(b"%PDF")
    assert page.evaluate("onPaper") == [0, len(run.frame)]
    assert page.locator("details:not([open])").count() == closed
    page.emulate_media(media="print")
    browsing.screenshot(page, "report-print", whole=True)


def test_hostile_names_and_questions_stay_text(visit: browsing.Visit, tmp_path: Path) -> None:
    folder = rows.write(tmp_path / "run", replace(PLAN, lengths=(256, 512, 2048)))
    meta = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    hostile = {label: HOSTILE[i] for i, label in enumerate(dict.fromkeys(each["label"] for each in meta["patterns"]))}
    for each in (*meta["patterns"], *meta["cases"]):
        each["label"] = hostile.get(each.get("label") or each["variant"], HOSTILE[0])
    meta |= {"name": HOSTILE[0], "question": " ".join(HOSTILE[:6]), "command": HOSTILE[1], "source": HOSTILE[2]}
    meta["environment"] |= {"cpu": HOSTILE[0], "platform": HOSTILE[1]}
    (folder / "run.json").write_text(json.dumps(meta), encoding="utf-8")
    page = drawn(visit(written(folder)))
    assert page.title().startswith(HOSTILE[0])
    assert page.locator("img").count() == 0
    point_at(page, 0)
    page.locator(".bk-tooltip-row-value").first.wait_for()
    for fold in page.locator("details").all():
        fold.evaluate("each => { each.open = true; }")
    assert HOSTILE[0] in page.locator(".legend").first.inner_text()
    page.evaluate("document.querySelectorAll('#cases button.open').forEach((each) => each.click())")
    assert page.locator("img").count() == 0
