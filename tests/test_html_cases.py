"""The table of all cases in report.html, in a real browser: sort, search, status, expressions, details, print."""

import json
import random
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import browsing
import pytest
import rows
from benchmarks import fuzz_runs

from attnbench.reports.data.run import Run, load
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


def test_the_table_holds_every_case_as_the_frame_has_it(page: "Page", run: Run) -> None:
    frame = run.frame
    assert many(page) == len(frame)
    page.select_option(".dt-length select", label="all")
    assert column(page, "mechanism") == [*(frame["label"] + "/" + frame["implementation"])]
    assert column(page, "N") == [str(n) for n in frame["seq_len"]]
    times = [
        f"{units.time(*each)} {units.spread(*each[1:])}" if each[0] == each[0] else "-"
        for each in zip(frame["time_ns"], frame["time_low_ns"], frame["time_high_ns"], strict=True)
    ]
    assert column(page, "time") == times
    assert column(page, "peak memory") == [
        "-" if size is None else units.size(size) for size in _given(frame["peak_bytes"])
    ]


def _given(values: Any) -> list[Any]:
    return [*values.astype(object).where(values.notna(), None)]


def test_numbers_are_written_as_in_other_reports(browser: Any, path: Path) -> None:
    chance = random.Random(0)
    values = [round(10 ** chance.uniform(-1, 12), chance.randrange(4)) for _ in range(300)]
    spans = [
        (value, value * (1 - width), value * (1 + width)) for value in values for width in (chance.uniform(0, 0.5),)
    ]
    page = browsing.Visit(browser)(path)
    page.add_script_tag(path=TEMPLATES / "format.js")
    found = page.evaluate(
        """spans => spans.map(([value, low, high]) => [
            WRITTEN.time(value, low, high), WRITTEN.size(value), WRITTEN.share(value / 1e6), bounds(low, high),
            number(value, 1), number(value, 3), WRITTEN.error(value / 1e9)])""",
        spans,
    )
    expected = [
        [
            f"{units.time(*span)} {units.spread(*span[1:])}",
            units.size(span[0]),
            units.percent(span[0] / 1e6),
            units.bounds(*span[1:]),
            units.number(span[0], 1),
            units.number(span[0], 3),
            f"{span[0] / 1e9:.1e}",
        ]
        for span in spans
    ]
    assert found == expected


@pytest.mark.parametrize(
    ("title", "name"), [("time", "time_ns"), ("peak memory", "peak_bytes"), ("speed-up", "speedup"), ("N", "seq_len")]
)
def test_a_heading_sorts_by_the_number_and_puts_what_has_none_last(
    page: "Page", run: Run, title: str, name: str
) -> None:
    page.select_option(".dt-length select", label="all")
    heading = page.locator("#cases-table th", has=page.get_by_text(title, exact=True))
    keys = run.frame["case"].to_numpy()
    shown = "() => Array.from(document.querySelectorAll('#cases-table > tbody > tr'), tr => tr._DT_RowIndex)"
    for ascending, state in ((True, "ascending"), (False, "descending")):
        heading.click()
        assert heading.get_attribute("aria-sort") == state
        order = page.evaluate(shown)
        found = run.frame.iloc[order][name]
        present = found.dropna()
        assert [*present] == sorted(present, reverse=not ascending)
        assert found.tail(len(found) - len(present)).isna().all()
    heading.click()
    assert page.evaluate(shown) == [*range(len(keys))]


def test_headings_sort_by_the_keyboard(page: "Page") -> None:
    heading = page.locator("#cases-table th", has=page.get_by_text("time", exact=True))
    heading.locator("[tabindex='0']").first.focus() if heading.get_attribute("tabindex") is None else heading.focus()
    page.keyboard.press("Enter")
    assert heading.get_attribute("aria-sort") == "ascending"


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
    options = page.get_by_label("Status").locator("option").all_inner_texts()
    assert options == ["all (48)", "passed (46)", "out_of_memory (2)"]
    page.get_by_label("Status").select_option("out_of_memory")
    assert column(page, "status") == ["out_of_memory"] * 2
    page.get_by_label("Status").select_option("")
    assert many(page) == 48


@pytest.mark.parametrize(
    ("expression", "query"),
    [
        ("time < 5ms", "time_ns < 5e6"),
        ("time<=1.5 ms", "time_ns <= 1.5e6"),
        ("speedup >= 2", "speedup >= 2"),
        ("memory < 1 MiB", "peak_bytes < 2**20"),
        ("peak_bytes > 4MB", "peak_bytes > 4e6"),
        ("variant == local_window and N > 1024", "variant == 'local_window' and seq_len > 1024"),
        ("status != passed", "status != 'passed'"),
        ("flags has NOISY", "flags.str.contains('noisy')"),
        ("not flags has noisy", "not flags.str.contains('noisy')"),
        ("realised > 50%", "realised > 0.5"),
        ("flops_per_s >= 50 GFLOP/s", "flops_per_s >= 50e9"),
        ("repeats_exactly == yes", "status == 'passed'"),
        (
            "direction == training and time > 1ms or N == 256",
            "direction == 'training' and time_ns > 1e6 or seq_len == 256",
        ),
        (
            "direction == training and (time > 1ms or N == 256)",
            "direction == 'training' and (time_ns > 1e6 or seq_len == 256)",
        ),
        ("label == 'local_window(window=129)'", "label == 'local_window(window=129)'"),
        ('name has "bigbird(block=32)/" or variant==truncated', "variant in ('bigbird', 'truncated')"),
        ("not (time < 1s)", "not time_ns < 1e9"),
        ("prepared_bytes > 0", "prepared_bytes > 0"),
        ("", "seq_len > 0"),
    ],
)
def test_an_expression_selects(page: "Page", run: Run, expression: str, query: str) -> None:
    select(page, expression)
    frame = run.frame.assign(
        peak_bytes=run.frame["peak_bytes"].astype(float), prepared_bytes=run.frame["prepared_bytes"].astype(float)
    )
    assert page.locator("#cases-message").inner_text() == ""
    assert many(page) == len(frame.query(query, engine="python"))


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("tiem < 5ms", "Character 1: expected a column (see the list below), found tiem."),
        ("time", "Character 5: expected one of <, <=, >, >=, ==, != after time, found the end."),
        ("time = 5ms", "Character 6: expected one of <, <=, >, >=, ==, != after time, found =."),
        ("time < 5", "Character 9: expected one of the units ns, us, µs, ms, s, found the end."),
        ("time < 5 MiB", "Character 10: expected one of the units ns, us, µs, ms, s, found MiB."),
        ("time < fast", "Character 8: expected a number with one of the units ns, us, µs, ms, s, found fast."),
        ("N < 5 ms", "Character 7: expected no unit, found ms."),
        ("N < x", "Character 5: expected a number after N, found x."),
        ("variant < full", "Character 9: expected one of ==, !=, has after variant, found <."),
        (
            "variant ==",
            "Character 11: expected a word after variant, in quotes if it has spaces or brackets, found the end.",
        ),
        ("N == 256 N == 512", "Character 10: expected and, or, or the end, found N."),
        ("(N == 256", "Character 10: expected and, or, or ), found the end."),
        ("N == 256)", "Character 9: expected and, or, or the end, found )."),
        ("not", "Character 4: expected a column, not or (, found the end."),
        ("constructor == 1", "Character 1: expected a column (see the list below), found constructor."),
        ("<script>", "Character 1: expected a column, not or (, found <."),
    ],
)
def test_a_wrong_expression_says_what_is_wrong_and_keeps_the_rows(page: "Page", expression: str, message: str) -> None:
    select(page, "N == 512")
    select(page, expression)
    assert page.locator("#cases-message").inner_text() == message
    assert page.get_by_label("Expression").get_attribute("aria-invalid") == "true"
    assert many(page) == 12
    select(page, "N == 1024 or N == 512")
    assert page.locator("#cases-message").inner_text() == ""
    assert many(page) == 24


def test_nothing_is_said_against_an_expression_that_is_still_typed(page: "Page") -> None:
    page.get_by_label("Expression").press_sequentially("N == 512 and ti")
    assert page.locator("#cases-message").inner_text() == ""
    assert many(page) == 12


def test_all_three_select_together(page: "Page") -> None:
    page.fill("#cases-search", "bigbird")
    page.get_by_label("Status").select_option("passed")
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
    assert re.fullmatch(
        r"5 processes: \S+ \S+ to \S+ \S+", page.locator(".details svg").get_attribute("aria-label") or ""
    )


def test_a_case_that_did_not_pass_says_why(page: "Page") -> None:
    page.get_by_label("Status").select_option("out_of_memory")
    body(page).nth(0).locator("button").click()
    assert "needs 16.0 GiB, the budget is 12.0 GiB" in page.locator(".details").inner_text()
    assert page.locator(".details svg").count() == 0


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


HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "\"' onmouseover=alert(1) x='",
    "{{ 7 * 7 }} ${7 * 7} &lt;b&gt;",
    "$(touch x) `touch y`; rm -rf \u2028 \u202e",
    *[each for each in fuzz_runs.VALUES if isinstance(each, str)],
)


def test_hostile_text_stays_text(visit: browsing.Visit, tmp_path: Path) -> None:
    folder = fuzz_runs.write(tmp_path / "run", fuzz_runs._PLANS[0])
    meta = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    for each, text in zip(meta["cases"], [*HOSTILE, *HOSTILE], strict=False):
        each["label"] = text
    meta["command"] = f"bench run '{HOSTILE[1]}'"
    (folder / "run.json").write_text(json.dumps(meta), encoding="utf-8")
    probes = [json.loads(line) for line in (folder / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    for each in [each for each in probes if each["kind"] == "probe"][::2]:
        each |= {"status": "failed", "reason": f"{HOSTILE[0]} {HOSTILE[1]}"}
    (folder / "samples.jsonl").write_text("".join(json.dumps(each) + "\n" for each in probes), encoding="utf-8")
    run = load(folder)
    page = visit(page_of(run, tmp_path / "page.html"))
    assert column(page, "mechanism")[0] == f"{HOSTILE[0]}/sdpa"
    for button in page.locator("button.open").all():
        button.click()
    shown = page.locator("#cases").inner_text()
    assert f"{HOSTILE[0]} {HOSTILE[1]}" in shown
    assert page.locator("#cases :is(img, b), #cases-table script").count() == 0
    select(page, "reason has '<img'")
    assert many(page) == 3
    page.fill("#cases-search", "<script>alert(1)")
    select(page, "")
    assert many(page) == 3
