"""history.html in a real browser: its menus, figure and table, hostile names, and those who do not see it."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import browsing
import pytest
from rows import OOM
from test_history import PLAN, SLOWER, Made, commit, find, write
from test_html_cases import HOSTILE, expect

from attnbench.reports import html
from attnbench.reports.data.values import plain
from attnbench.reports.history import cases, chart, page
from attnbench.reports.history.changes import Changes

if TYPE_CHECKING:
    from playwright.sync_api import Page

FIGURE = "Bokeh.documents[0].get_model_by_name"


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Changes:
    return find(write(tmp_path_factory.mktemp("runs"), SLOWER))


@pytest.fixture(scope="module")
def path(seen: Changes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return page.write(seen, tmp_path_factory.mktemp("page"))


def drawn(page: "Page", name: str) -> dict[str, list[Any]]:
    """The columns of what is drawn."""
    # The page's policy forbids `wait_for_function`, which makes code of a text.
    ready = f"Boolean(window.Bokeh && Bokeh.documents[0] && {FIGURE}('points').data.x.length)"
    for _ in range(200):
        if page.evaluate(ready):
            break
        page.wait_for_timeout(50)
    found: dict[str, list[Any]] = json.loads(page.evaluate(f"JSON.stringify({FIGURE}('{name}').data)"))
    return found


def test_it_opens_with_what_changed_most(visit: browsing.Visit, path: Path) -> None:
    page = visit(path)
    points, spans = drawn(page, "points"), drawn(page, "spans")
    assert page.locator(".case option:checked").inner_text().startswith("local_window(window=129)/blockwise")
    assert points["x"] == list(range(14))
    assert all(low < y < high for low, y, high in zip(points["low"], points["y"], points["high"], strict=True))
    assert re.fullmatch(r"[\d.]+x \([\d.]+ to [\d.]+\)", points["value"][0])
    assert spans["x"] == [7.5]
    assert "slower 1." in spans["words"][0]
    assert "slower 1." in page.locator(".reading").inner_text()
    assert page.locator("h1").inner_text() == "From which length on does each pattern beat full attention?"
    assert page.locator(".answer li").first.inner_text().startswith("2 cases got worse between")
    browsing.screenshot(page, "history", whole=True)


def test_menus_choose_case_and_metric(visit: browsing.Visit, path: Path) -> None:
    page = visit(path)
    before = drawn(page, "points")
    page.select_option(".metric", label="peak memory")
    memory = drawn(page, "points")
    assert set(memory["value"]) != set(before["value"])
    assert memory["value"][0].endswith("iB")
    assert drawn(page, "spans")["x"] == []
    page.select_option(".metric", label="time over the baseline's")
    page.select_option(".case", label="full/sdpa N=512")
    page.locator(".reading", has_text="This case has no such value.").wait_for()


def test_a_run_tells_its_commit_to_who_points_at_it(visit: browsing.Visit, path: Path) -> None:
    page = visit(path)
    drawn(page, "points")
    # The place of the fourth run on the page, from the scales of the figure.
    x, y = page.evaluate(
        f"""(() => {{
            const view = Bokeh.index.get_by_id({FIGURE}("x").document.roots()[0].id);
            const {{ left, top }} = view.el.getBoundingClientRect();
            const {{ bbox, x_scale, y_scale }} = view.frame, {{ x, y }} = {FIGURE}("points").data;
            return [left + x_scale.compute(x[3]), top + y_scale.compute(y[3])];
        }})()"""
    )
    page.mouse.move(x - 20, y - 5)
    page.mouse.move(x, y)
    page.locator(".bk-Tooltip", has_text=commit(3)).wait_for()


def test_the_table_of_all_cases_sorts_and_filters(visit: browsing.Visit, path: Path, seen: Changes) -> None:
    page = visit(path)
    body = page.locator("#cases-table > tbody > tr")
    assert body.count() == len(seen.history.cases)
    names = ["case", "N", "first ratio", "last ratio", "change", "factor", "before", "after", "runs"]
    assert page.locator("#cases-table th .dt-column-title").all_inner_texts() == names
    first, second = (body.nth(place).locator("td").all_inner_texts() for place in (0, 1))
    assert first[4] == "slower"
    assert first[6:] == [commit(7), commit(8), "14"]
    assert all(re.fullmatch(r"[\d.]+x \([\d.]+ to [\d.]+\)", first[place]) for place in (2, 3, 5))
    assert float(first[3].partition("x")[0]) > 1.15 * float(first[2].partition("x")[0])
    assert float(first[5].partition("x")[0]) >= float(second[5].partition("x")[0]), "the most severe come first"

    page.click("#cases-table th >> text=last ratio")
    page.locator("#cases-table th[aria-sort=ascending]").wait_for()
    ratios = [text.partition("x")[0] for text in body.locator("td:nth-child(4)").all_inner_texts()]
    assert ratios[-2:] == ["-", "-"], "baselines have no ratio, and come last"
    assert ratios[:-2] == sorted(ratios[:-2], key=float)

    page.fill("#cases-condition", "factor > 1.1 and N == 512")
    expect(body).to_have_count(1)
    page.fill("#cases-condition", "")
    page.select_option("#cases-status", "none")
    expect(body).to_have_count(4)
    body.first.locator("button.open").click()
    assert "first time" in page.locator(".details").inner_text()


def test_the_table_of_all_cases_has_times_where_nothing_has_a_baseline(tmp_path: Path) -> None:
    plan = replace(PLAN, baseline=None)
    gone = replace(plan, series=(PLAN.series[0], replace(PLAN.series[1], endings={512: OOM})))
    seen = find(write(tmp_path, [Made(plan=plan), Made(plan=gone)]))
    told = cases.table(seen)
    rows = {(row["label"].partition("(")[0], row["seq_len"]): row for row in told.to_dict("records")}
    lost, absent = rows["local_window", 512], rows["truncated", 512]
    assert "first time" in cases.section(seen)
    assert (lost["change"], lost["before"], lost["after"]) == ("lost", commit(0), commit(1))
    assert lost["first_ns"] == lost["last_ns"], "one run has a time"
    assert (absent["runs"], absent["change"]) == (1, "none")
    assert told["first"].isna().all()


@pytest.mark.parametrize("options", [{}, {"dark": True}, {"size": browsing.PHONE}], ids=["light", "dark", "phone"])
def test_everybody_can_use_it(visit: browsing.Visit, path: Path, options: dict[str, Any]) -> None:
    page = visit(path, **options)
    drawn(page, "points")
    assert browsing.violations(page) == []
    # The figure has no paper of its own, which would be white on a dark page.
    assert page.evaluate("Bokeh.documents[0].roots()[0].border_fill_color") is None
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    browsing.screenshot(page, f"history-{'-'.join(options) or 'light'}", whole=True)


@pytest.mark.slow
def test_hostile_text_stays_text(visit: browsing.Visit, tmp_path: Path) -> None:
    """Each text is the name, the question, the commit and the version of torch of two runs."""
    for number, text in enumerate(each for each in HOSTILE if each.isprintable() and each):
        short = text[:900]
        hostile = {"name": short, "question": text, "revision": {"commit": short, "date": short}}
        plan = replace(PLAN, processes=2, lengths=(512,))
        # The page opens with the memory of a case, which changed.
        more = replace(plan, series=tuple(replace(each, bytes_at_1024=2**24) for each in plan.series))
        made = [
            Made(plan=each, meta=hostile, environment={"blas": f"{short}{each.series[1]}"}) for each in (plan, more)
        ]
        page = visit(page_of(find(write(tmp_path / str(number), made)), tmp_path / f"{number}.html"))
        assert drawn(page, "points")["commit"] == [plain(short, 24)] * 2
        assert page.locator("h1").inner_text() == plain(text, None).strip()
        assert page.locator("script").count() == 7
        assert page.locator(":is(img, b, iframe), main a").count() == 0


def page_of(seen: Changes, path: Path) -> Path:
    path.write_text(page.page(seen), encoding="utf-8")
    return path


def test_a_large_history_has_the_cases_that_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = find(write(tmp_path, SLOWER))
    monkeypatch.setattr(chart, "_MOST", 2 * 14 * 10)
    told = chart.data(seen)
    assert [title.partition("(")[0] for title in told["titles"]] == ["local_window"] * 2
    assert "2 of 6 cases, those that changed first" in page.page(seen)


def test_without_the_packages_the_page_in_markdown_is_written(
    seen: Changes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(html, "installed", lambda: False)
    assert page.write(seen, tmp_path).name == "history.md"
    assert not (tmp_path / "history.html").exists()


def test_one_run_is_a_page_too(visit: browsing.Visit, tmp_path: Path) -> None:
    page = visit(page_of(find(write(tmp_path, [Made()])), tmp_path / "one.html"))
    assert drawn(page, "points")["x"] == [0]
