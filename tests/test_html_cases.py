"""The table of all cases in report.html, in a real browser: sort, search, status, expressions, details, print."""

import json
import random
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import browsing
import pandas as pd
import pytest
import rows
from benchmarks import fuzz_runs

from attnbench.reports.data.values import plain
from attnbench.reports.findings.run import Run, load
from attnbench.reports.html import cases, shell
from attnbench.reports.text import units
from attnbench.suites.selection import Narrowing

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

TEMPLATES = Path(shell.__file__).parent / "templates"
PLAN = replace(
    rows.QUICK,
    series=(*rows.QUICK.series[:-1], replace(rows.QUICK.series[-1], endings={2048: rows.OOM})),
    proved=1.0,
    roof_flops_per_s=1e11,
)


def page_of(run: Run, path: Path) -> Path:
    """A page that holds the table alone."""
    template = shell._environment().from_string(
        "{% extends 'shell.html.j2' %}{% block main %}<h1>A run</h1>{{ section }}{% endblock %}"
    )
    path.write_text(template.render(title="A run", section=cases.section(run)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return load(rows.write(tmp_path_factory.mktemp("run"), PLAN))


@pytest.fixture(scope="module")
def path(run: Run) -> Path:
    return page_of(run, run.folder / "page.html")


@pytest.fixture
def page(visit: browsing.Visit, path: Path) -> "Page":
    return visit(path)


def body(page: "Page") -> "Locator":
    return page.locator("#cases-table > tbody > tr:not(.details-row)")


def column(page: "Page", title: str) -> list[str]:
    """The cells of a column on the page that is shown."""
    titles = page.locator("#cases-table th .dt-column-title").all_inner_texts()
    return page.locator(f"#cases-table > tbody > tr > td:nth-child({titles.index(title) + 1})").all_inner_texts()


def many(page: "Page") -> int:
    """How many cases fit."""
    found = re.search(r"of ([\d,]+) cases|no case", page.locator(".dt-info").inner_text())
    assert found is not None
    return int((found[1] or "0").replace(",", ""))


def select(page: "Page", expression: str) -> None:
    page.fill("#cases-expression", expression)
    page.press("#cases-expression", "Enter")


def expect(locator: "Locator") -> Any:
    """Wait until something holds: the table sorts after the event."""
    from playwright.sync_api import expect as waiting

    return waiting(locator)


def test_the_table_holds_every_case_as_the_frame_has_it(page: "Page", run: Run) -> None:
    frame = run.frame
    assert many(page) == len(frame)
    page.select_option(".dt-length select", "-1")
    assert column(page, "mechanism") == [*(frame["label"] + "/" + frame["implementation"])]
    assert column(page, "N") == [str(n) for n in frame["seq_len"]]
    times = [
        f"{units.time(*each)} {units.spread(*each[1:])}" if each[0] == each[0] else "-"
        for each in zip(frame["time_ns"], frame["time_low_ns"], frame["time_high_ns"], strict=True)
    ]
    assert column(page, "time") == times
    peaks = frame["peak_bytes"].astype(float)
    assert column(page, "peak memory") == ["-" if peak != peak else units.size(peak) for peak in peaks]


def test_numbers_are_written_as_in_other_reports(page: "Page") -> None:
    chance = random.Random(0)
    spans = []
    for _ in range(300):
        value, width = float(f"{10 ** chance.uniform(0, chance.choice((0.05, 12))):.7g}"), chance.uniform(0.0001, 0.5)
        spans.append((value, value * (1 - width), value * (1 + width)))
    page.add_script_tag(path=TEMPLATES / "format.js")
    found = page.evaluate(
        """spans => spans.map(([value, low, high]) => [
            WRITTEN.time(value, low, high), WRITTEN.size(value), WRITTEN.share(value / 1e6), bounds(low, high),
            number(value, 1), number(value, 3), WRITTEN.error(value / 1e9),
            WRITTEN.energy(value / 1e6, low / 1e6, high / 1e6)])""",
        spans,
    )
    expected = [
        [
            f"{units.time(value, low, high)} {units.spread(low, high)}",
            units.size(value),
            units.percent(value / 1e6),
            units.bounds(low, high),
            units.number(value, 1),
            units.number(value, 3),
            f"{value / 1e9:.1e}",
            f"{units.energy(value / 1e6, low / 1e6, high / 1e6)} {units.spread(low / 1e6, high / 1e6)}",
        ]
        for value, low, high in spans
    ]
    assert found == expected


def test_headings_sort_by_the_number_and_put_what_has_none_last(page: "Page", run: Run) -> None:
    page.select_option(".dt-length select", "-1")
    shown = "() => Array.from(document.querySelectorAll('#cases-table > tbody > tr'), tr => tr._DT_RowIndex)"
    for title, name in (("time", "time_ns"), ("peak memory", "peak_bytes"), ("speed-up", "speedup"), ("N", "seq_len")):
        heading = page.locator("#cases-table th", has=page.get_by_text(title, exact=True))
        for state in ("ascending", "descending"):
            heading.click()
            expect(heading).to_have_attribute("aria-sort", state)
            found = run.frame[name].iloc[page.evaluate(shown)]
            present = found.dropna()
            assert [*present] == sorted(present, reverse=state == "descending")
            assert found.tail(len(found) - len(present)).isna().all()
        heading.click()
        expect(heading).not_to_have_attribute("aria-sort", "descending")
        assert page.evaluate(shown) == [*range(len(run.frame))]


def test_headings_sort_by_the_keyboard(page: "Page") -> None:
    heading = page.locator("#cases-table th", has=page.get_by_text("time", exact=True))
    heading.get_by_role("button").focus()
    page.keyboard.press("Enter")
    expect(heading).to_have_attribute("aria-sort", "ascending")


def test_search_finds_any_text(page: "Page", run: Run) -> None:
    page.fill("#cases-search", "needs 16.0 GiB")
    assert many(page) == (run.frame["status"] == "out_of_memory").sum() == 2
    page.fill("#cases-search", run.frame["case"].iloc[7])
    assert many(page) == 1
    page.fill("#cases-search", "longformer training 512")
    assert many(page) == 1
    page.fill("#cases-search", "nothing of this kind")
    assert many(page) == 0
    assert "No case fits" in body(page).inner_text()


def test_the_status_selects(page: "Page", run: Run) -> None:
    options = page.locator("#cases-status").locator("option").all_inner_texts()
    assert options == ["all (48)", "passed (46)", "out_of_memory (2)"]
    page.locator("#cases-status").select_option("out_of_memory")
    assert column(page, "status") == ["out_of_memory"] * 2
    page.locator("#cases-status").select_option("")
    assert many(page) == 48


FITTING = {
    "time < 5ms": "time_ns < 5e6",
    "time<=1.5 ms": "time_ns <= 1.5e6",
    "speedup >= 2": "speedup >= 2",
    "memory < 1 MiB": "peak_bytes < 2**20",
    "peak_bytes > 4MB": "peak_bytes > 4e6",
    "variant == local_window and N > 1024": "variant == 'local_window' and seq_len > 1024",
    "status != passed": "status != 'passed'",
    "flags has NOISY": "flags.str.contains('noisy')",
    "not flags has noisy": "not flags.str.contains('noisy')",
    "realised > 50%": "realised > 0.5",
    "flops_per_s >= 50 GFLOP/s": "flops_per_s >= 50e9",
    "repeats_exactly == yes": "status == 'passed'",
    "direction == training and time > 1ms or N == 256": "direction == 'training' and time_ns > 1e6 or seq_len == 256",
    "direction == training and (time > 1ms or N == 256)": (
        "direction == 'training' and (time_ns > 1e6 or seq_len == 256)"
    ),
    "label == 'local_window(window=129)'": "label == 'local_window(window=129)'",
    'name has "bigbird(block=32)/" or variant==truncated': "variant in ('bigbird', 'truncated')",
    "not (time < 1s)": "not time_ns < 1e9",
    "prepared_bytes > 0": "prepared_bytes > 0",
    "": "seq_len > 0",
}


def test_expressions_select(page: "Page", run: Run) -> None:
    sizes = {name: run.frame[name].astype(float) for name in ("peak_bytes", "prepared_bytes")}
    frame = run.frame.assign(**sizes)
    found = {}
    for expression in FITTING:
        select(page, expression)
        assert page.locator("#cases-message").inner_text() == ""
        found[expression] = many(page)
    assert found == {expression: len(frame.query(query, engine="python")) for expression, query in FITTING.items()}


def test_columns_of_a_run_alone_select_and_stand_in_the_details(
    visit: browsing.Visit, run: Run, tmp_path: Path
) -> None:
    here = run.frame["variant"] == "local_window"
    own: dict[str, pd.Series] = {
        "window": pd.Series(129, run.frame.index, "Int64").where(here),
        "edges": pd.Series("clip", run.frame.index, "str").where(here),
        "causal": pd.Series(False, run.frame.index, "boolean").where(here),
        "time": pd.Series(7, run.frame.index, "Int64").where(here),  # called like what expressions call another column
    }
    page = visit(page_of(replace(run, frame=run.frame.assign(**own)), tmp_path / "page.html"))
    for expression in ("window == 129", "edges == clip", "causal == no", "parameter_time == 7"):
        select(page, expression)
        assert page.locator("#cases-message").inner_text() == ""
        assert many(page) == here.sum()
    select(page, "time < 1s and window < 1000")
    assert many(page) == here.sum()
    body(page).first.locator("button").click()
    details = page.locator(".details").inner_text()
    for told in (r"window\s+129\s", r"edges\s+clip\s", r"causal\s+no\s"):
        assert re.search(told, details)


EVERY = 48
"""The cases of the run."""
WRONG = {
    "tiem < 5ms": "1: expected a column (see the list below), found tiem.",
    "time": "5: expected one of <, <=, >, >=, ==, != after time, found the end.",
    "time = 5ms": "6: expected one of <, <=, >, >=, ==, != after time, found =.",
    "time < 5": "9: expected one of the units ns, us, µs, ms, s, found the end.",
    "time < 5 MiB": "10: expected one of the units ns, us, µs, ms, s, found MiB.",
    "time < fast": "8: expected a number with one of the units ns, us, µs, ms, s, found fast.",
    "N < 5 ms": "7: expected and, or, or the end, found ms.",
    "N < x": "5: expected a number after N, found x.",
    "variant < full": "9: expected one of ==, !=, has after variant, found <.",
    "variant ==": "11: expected a word after variant, in quotes if it has spaces or brackets, found the end.",
    "N == 256 N == 512": "10: expected and, or, or the end, found N.",
    "(N == 256": "10: expected and, or, or ), found the end.",
    "N == 256)": "9: expected and, or, or the end, found ).",
    "not": "4: expected a column, not or (, found the end.",
    "constructor == 1": "1: expected a column (see the list below), found constructor.",
    "<script>": "1: expected a column, not or (, found <.",
    "(" * 500: "501: expected a column, not or (, found the end.",
}


def test_wrong_expressions_say_what_is_wrong_and_choose_nothing(page: "Page") -> None:
    for expression, message in WRONG.items():
        select(page, "N == 512")
        select(page, expression)
        assert page.locator("#cases-message").inner_text() == f"Character {message}"
        assert page.locator("#cases-expression").get_attribute("aria-invalid") == "true"
        assert many(page) == EVERY
    select(page, "N == 1024 or N == 512")
    assert page.locator("#cases-message").inner_text() == ""
    assert page.locator("#cases-expression").get_attribute("aria-invalid") is None
    assert many(page) == 24


def test_nothing_is_said_against_an_expression_that_is_still_typed(page: "Page") -> None:
    page.locator("#cases-expression").press_sequentially("N == 512 and ti")
    assert page.locator("#cases-message").inner_text() == ""
    assert many(page) == EVERY


def test_a_click_that_leaves_the_expression_opens_its_row(page: "Page") -> None:
    page.locator("#cases-expression").press_sequentially("N == 512")
    body(page).first.locator("button").click()
    assert page.locator(".details").count() == 1


def test_all_three_select_together(page: "Page") -> None:
    page.fill("#cases-search", "bigbird")
    page.locator("#cases-status").select_option("passed")
    select(page, "N >= 1024")
    assert many(page) == 2


def test_details_open_and_close_with_the_mouse(page: "Page", run: Run) -> None:
    body(page).nth(3).locator("td").nth(4).click()
    shown = page.locator(".details")
    case = run.frame.iloc[3]
    for word in (
        case["case"],
        "pairs allowed",
        f"{case['allowed_pairs']:,}",
        "share of elements checked",
        "100%",
        "repeats exactly",
    ):
        assert word in shown.inner_text()
    assert body(page).nth(3).locator("button").get_attribute("aria-expanded") == "true"
    body(page).nth(3).locator("button").click()
    assert page.locator(".details").count() == 0


def test_details_open_by_the_keyboard(page: "Page") -> None:
    body(page).nth(1).locator("button").focus()
    page.keyboard.press("Enter")
    assert page.locator(".details").count() == 1
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") == "PRE"  # the command, which may scroll
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    assert page.locator(".details").count() == 0


def test_a_dot_stands_for_each_process(page: "Page", run: Run) -> None:
    body(page).nth(0).locator("button").click()
    assert page.locator(".details circle").count() == PLAN.processes == run.log_ns.shape[1]
    assert re.fullmatch(r"5 processes: \S+ \S+ to \S+ \S+", page.locator(".dots svg").get_attribute("aria-label") or "")


def test_a_case_that_did_not_pass_says_why(page: "Page") -> None:
    page.locator("#cases-status").select_option("out_of_memory")
    body(page).nth(0).locator("button").click()
    assert "needs 16.0 GiB, the budget is 12.0 GiB" in page.locator(".details").inner_text()
    assert page.locator(".dots svg").count() == 0


def test_the_command_selects_the_case_and_its_baseline(page: "Page", run: Run) -> None:
    body(page).nth(3).locator("button").click()
    command = page.locator(".details pre").inner_text()
    start, _, words = command.partition(" -k ")
    assert start == "bench run quick.yaml"
    every = [each for _, each in rows.cases(PLAN)]
    found = Narrowing(words=words.strip("'")).of(every)
    assert {each.key for each in found} == {run.frame["case"][3], run.frame["case"][run.baseline_rows[3]]}


def test_a_profile_shows_its_largest_operators(visit: browsing.Visit, tmp_path: Path) -> None:
    folder = fuzz_runs.write(tmp_path / "run", fuzz_runs._PLANS[0])
    page = visit(page_of(load(folder), tmp_path / "page.html"))
    body(page).nth(0).locator("button").click()
    assert "bmm\n 56%" in page.locator(".details").inner_text()
    body(page).nth(4).locator("button").click()
    assert page.locator(".details").nth(1).locator("meter").count() == 0


TAKEN = "onerror=console.error('taken')"
HOSTILE = (
    f"<img src=x {TAKEN}>",
    f"</script><script {TAKEN}>console.error('taken')</script>",
    f"<!--<script>&amp;<img src=x {TAKEN}>",
    f"\"' {TAKEN} x='",
    "{{ 7 * 7 }} ${7 * 7} &lt;b&gt;",
    "$(touch x) `touch y`; rm -rf \u2028 \u202e",
    *(each for each in fuzz_runs.VALUES if isinstance(each, str) and each.isprintable() and len(each) <= 1000),
)
"""Text that would say `taken` on the console, or load a picture, if it were read as HTML."""


def test_hostile_text_stays_text(visit: browsing.Visit, tmp_path: Path) -> None:
    plan = replace(PLAN, lengths=(256, 512))
    folder = rows.write(tmp_path / "run", plan)
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    for number, each in enumerate(run["cases"]):
        each["label"] = HOSTILE[number % len(HOSTILE)]
        each["variant"] = HOSTILE[number % 6]
        each["parameters"] = {HOSTILE[0]: HOSTILE[2]}
    run["command"] = f"bench run '{HOSTILE[1]}'"
    (folder / "run.json").write_text(json.dumps(run), encoding="utf-8")
    told = [json.loads(line) for line in (folder / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    for each in told[:3]:
        each |= {"status": "failed", "reason": " ".join(HOSTILE[:6])}
    (folder / "samples.jsonl").write_text("".join(json.dumps(each) + "\n" for each in told), encoding="utf-8")
    page = visit(page_of(load(folder), tmp_path / "page.html"))
    assert column(page, "mechanism")[0] == f"{HOSTILE[0]}/eager"
    for button in page.locator("button.open").all():
        button.click()
    shown = page.locator("#cases").inner_text()
    assert plain(" ".join(HOSTILE[:6])) in shown
    assert page.locator("#cases :is(img, b), #cases-table script").count() == 0
    select(page, "reason has '<img src=x'")
    assert many(page) == 3
    page.fill("#cases-search", "&amp;<img")
    assert many(page) == 3
    page.context.close()


@pytest.mark.parametrize(
    ("count", "wanted"), [(1_000, "N > 1000"), pytest.param(10_000, "N > 10000", marks=pytest.mark.slow)]
)
def test_many_cases_open_and_select(visit: browsing.Visit, tmp_path: Path, count: int, wanted: str) -> None:
    windows = tuple(replace(rows.LOCAL, parameters={"window": 2 * width + 1}) for width in (8, 16, 32, 64))
    lengths = tuple(range(256, 256 + count // 10 * 16, 16))
    plan = rows.Plan((rows.FULL, *windows), lengths, ("forward", "training"), processes=5, values=1, proved=1.0)
    path = page_of(load(rows.write(tmp_path / "run", plan)), tmp_path / "page.html")
    assert path.stat().st_size < 800_000 + 260 * count
    page = visit(path)
    assert many(page) == count
    select(page, wanted)
    assert many(page) == 10 * sum(n > int(wanted.split()[-1]) for n in lengths)
    page.locator("#cases-table th", has=page.get_by_text("time", exact=True)).click()
    body(page).first.locator("button").click()
    assert page.locator(".details circle").count() == 5


def test_times_of_too_many_processes_are_left_out(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(cases._times(run) or ()) == len(run.frame)
    monkeypatch.setattr(cases, "MOST_TIMES", run.log_ns.size - 1)
    assert cases._times(run) is None


def test_a_run_without_cases_or_results_has_a_table(visit: browsing.Visit, run: Run, tmp_path: Path) -> None:
    empty = replace(run, frame=run.frame[:0], log_ns=run.log_ns[:0])
    page = visit(page_of(empty, tmp_path / "empty.html"))
    assert "The run has no cases." in page.locator("#cases-table").inner_text()
    begun = rows.write_rows(tmp_path / "begun", rows.meta(PLAN), ())
    page = visit(page_of(load(begun), tmp_path / "begun.html"))
    assert {*column(page, "status")} == {"skipped"}
    body(page).first.locator("button").click()
    assert "not reached" in page.locator(".details").inner_text()


def test_print_has_all_rows_of_the_selection(visit: browsing.Visit, path: Path) -> None:
    page = visit(path)
    select(page, "direction == training or N > 256")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert body(page).count() == many(page) == 42
    page.emulate_media(media="print")
    assert not page.locator("#cases-search").is_visible()
    assert page.locator("button.open").first.is_visible()
    browsing.screenshot(page, "cases-print", whole=True)
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert body(page).count() == 25


@pytest.mark.parametrize("look", ["light", "dark", "phone"])
def test_every_look_is_accessible(visit: browsing.Visit, path: Path, look: str) -> None:
    page = visit(path, dark=look == "dark", size=browsing.PHONE if look == "phone" else browsing.WIDE)
    body(page).nth(3).locator("button").click()
    page.locator("#cases .help summary").click()
    select(page, "time < 5 parsecs")
    assert browsing.violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    browsing.screenshot(page, f"cases-{look}", whole=True)


@pytest.mark.parametrize(
    ("command", "start"),
    [
        ("bench run quick", "bench run quick"),
        ("bench run 'my suites/a.yaml' --quick --variants own --out x", "bench run 'my suites/a.yaml' --variants own"),
        ("bench run --resume runs/a", ""),
        ("pytest tests", ""),
        ("bench run 'a", ""),
        ("", ""),
    ],
)
def test_a_command_begins_as_that_of_the_run(command: str, start: str) -> None:
    assert cases._again(command) == start
