"""The table of all cases in report.html, in a real browser: sort, search, status, conditions, details, print."""

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

from attnbench.reports.data.settings import names
from attnbench.reports.data.values import plain
from attnbench.reports.data.where import LONGEST, WhereError, where
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


def select(page: "Page", condition: str) -> None:
    page.fill("#cases-condition", condition)
    page.press("#cases-condition", "Enter")


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


def test_energies_have_their_intervals(visit: browsing.Visit, tmp_path: Path) -> None:
    run = load(rows.write(tmp_path / "run", replace(rows.QUICK, series=(replace(rows.FULL, watts=20.0),))))
    page = visit(page_of(run, tmp_path / "page.html"))
    first = run.frame.iloc[0]
    value, *ends = (first[name] for name in ("energy_j", "energy_low_j", "energy_high_j"))
    body(page).first.locator("button").click()
    details = page.locator(".details").inner_text()
    assert f"\nenergy\n{units.energy(value, *ends)} {units.spread(*ends)}\n" in details
    assert "energy_low" not in details


def share(*found: float) -> str:
    """A share with its interval, all to one decimal place."""
    told = [units.percent(each, *found) for each in found]
    return f"{told[0]} ({told[1]} to {told[2]})"


def test_numbers_are_written_as_in_other_reports(page: "Page") -> None:
    chance = random.Random(0)
    spans = []
    for _ in range(300):
        value, width = float(f"{10 ** chance.uniform(0, chance.choice((0.05, 12))):.7g}"), chance.uniform(0.0001, 0.5)
        spans.append((value, value * (1 - width), value * (1 + width)))
    page.add_script_tag(path=TEMPLATES / "format.js")
    found = page.evaluate(
        """spans => spans.map(([value, low, high]) => [
            WRITTEN.time(value, low, high), WRITTEN.size(value), WRITTEN.share(value / 1e6),
            WRITTEN.ratio(value, low, high), number(value, 1), number(value, 3), WRITTEN.error(value / 1e9),
            WRITTEN.change(value / 1e3), WRITTEN.share(value / 1e6, low / 1e8, high / 1e6),
            spread(low / 9, high), interval(value, low / 9, high).join(" "),
            WRITTEN.energy(value / 1e6, low / 1e6, high / 1e6)])""",
        spans,
    )
    expected = [
        [
            f"{units.time(value, low, high)} {units.spread(low, high)}",
            units.size(value),
            units.percent(value / 1e6),
            units.interval(value, low, high, "x"),
            units.number(value, 1),
            units.number(value, 3),
            f"{value / 1e9:.1e}",
            units.change(value / 1e3),
            share(value / 1e6, low / 1e8, high / 1e6),
            units.spread(low / 9, high),
            units.interval(value, low / 9, high),
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


def test_conditions_select(page: "Page", run: Run) -> None:
    sizes = {name: run.frame[name].astype(float) for name in ("peak_bytes", "prepared_bytes")}
    frame = run.frame.assign(**sizes)
    found = {}
    for condition in FITTING:
        select(page, condition)
        assert page.locator("#cases-message").inner_text() == ""
        found[condition] = many(page)
    assert found == {condition: len(frame.query(query, engine="python")) for condition, query in FITTING.items()}


def test_columns_of_a_run_alone_select_and_stand_in_the_details(
    visit: browsing.Visit, run: Run, tmp_path: Path
) -> None:
    here = run.frame["variant"] == "local_window"
    own: dict[str, pd.Series] = {
        "window": pd.Series(129, run.frame.index, "Int64").where(here),
        "edges": pd.Series("clip", run.frame.index, "str").where(here),
        "causal": pd.Series(False, run.frame.index, "boolean").where(here),
    }
    page = visit(page_of(replace(run, frame=run.frame.assign(**own)), tmp_path / "page.html"))
    for condition in ("window == 129", "edges == clip", "causal == no", "edges != '' and not causal"):
        select(page, condition)
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
END = "and, or, or the end, or quotes around a text with spaces or brackets"
WRONG = {
    "tiem < 5ms": "a column, such as time, ties, found tiem at character 1",
    "zzzz == 1": "a column of the table, found zzzz at character 1",
    "5ms > tiem": "a column, such as time, ties, found tiem at character 7",
    "1 == 1": "a column of the table, found 1 at character 6",
    "x has flags": "a column of the table, found x at character 1",
    "time": "one of <, <=, >, >=, ==, !=, in with time, found the end",
    "variant is full": "one of ==, !=, in, has with variant, found is at character 9",
    "variant < full": "one of ==, !=, in, has with variant, found < at character 9",
    "time has 5": "one of <, <=, >, >=, ==, !=, in with time, found has at character 6",
    "time < 5": "one of the units ns, us, ms, s, µs, found the end",
    "time < 5 and N == 8": "one of the units ns, us, ms, s, µs, found and at character 10",
    "time < 5 MiB": "one of the units ns, us, ms, s, µs, found MiB at character 10",
    "time < 5MiB": "one of the units ns, us, ms, s, µs, found 5MiB at character 8",
    "time < fast": "a number with one of the units ns, us, ms, s, µs for time, found fast at character 8",
    "time < memory": "a number with one of the units ns, us, ms, s, µs for time, found memory at character 8",
    "N < 5 ms": "no unit after a number for N, found ms at character 7",
    "N < x": "a number for N, found x at character 5",
    "N == '1024'": "a number for N, found '1024' at character 6",
    "variant == N": "a text, in quotes if a column is called so, for variant, found N at character 12",
    "repeats_exactly == maybe": "yes or no for repeats_exactly, found maybe at character 20",
    "variant ==": "a value, in quotes if it has spaces or brackets, found the end",
    "variant == 'full": "a value, in quotes if it has spaces or brackets, found ' at character 12",
    "N in 5": "a list of values in brackets, found 5 at character 6",
    "N not 5": "in, found 5 at character 7",
    "N in (5 6)": ", or ), found 6 at character 9",
    "5 in (5)": "a column of the table, found 5 at character 1",
    "label == local_window(window=129)": f"{END}, found ( at character 22",
    "N == 256 N == 512": f"{END}, found N at character 10",
    "(N == 256": "and, or, or ), found the end",
    "N == 256)": f"{END}, found ) at character 9",
    "not": "a column, not or (, found the end",
    "constructor == 1": "a column of the table, found constructor at character 1",
    "<script>": "a column, not or (, found < at character 1",
    "(" * 200: "a column, not or (, found the end",
}


def test_wrong_conditions_say_what_is_wrong_and_choose_nothing(page: "Page") -> None:
    for condition in ("tiem < 5ms", "N < 5 ms", "(" * LONGEST):
        select(page, "N == 512")
        select(page, condition)
        expected = WRONG.get(condition, "a column, not or (, found the end")
        assert page.locator("#cases-message").inner_text() == f"expected {expected}"
        assert page.locator("#cases-condition").get_attribute("aria-invalid") == "true"
        assert many(page) == EVERY
    select(page, "N == 1024 or N == 512")
    assert page.locator("#cases-message").inner_text() == ""
    assert page.locator("#cases-condition").get_attribute("aria-invalid") is None
    assert many(page) == 24


MORE = (
    "256 < N <= 1024",
    "1ms > time_ns",
    "full == variant",
    "variant in (full, 'bigbird',) or N in [512]",
    "variant not in ()",
    "reason == ''",
    "speedup != '' and baseline != ''",
    "reason has ''",
    "flags in ('')",
    "time_low < time and roof_share <= roof_share_high",
    "label = variant",
    "label has variant",
    "repeats_exactly and not repeats_exactly == no",
    "True = repeats_exactly",
    "time_ns < 5000000 and time < 0.005s and peak_memory > 0",
    "speed-up >= 2x",
    "mechanism has 'full/' and series = name",
    "threads == 2",
    "proof_s >= 0 and time_of_the_proof < 5s",
    "state_bytes > 0",
    "parameters has 'window'",
    "time < 5\N{GREEK SMALL LETTER MU}s or time > 5e3µs",
)
WORDS = ("time", "time_ns", "N", "variant", "flags", "repeats_exactly", "label", "5ms", "5", "ms", "512", "full", "yes")
SIGNS = ("<", ">=", "==", "=", "!=", "has", "in", "not", "and", "or", "(", ")", "[", "]", ",", "''", "'full'", "'")


def test_the_page_reads_conditions_as_python_does(page: "Page", run: Run) -> None:
    chance = random.Random(0)
    drawn = [" ".join(chance.choices((*WORDS, *SIGNS), k=chance.randrange(1, 8))) for _ in range(300)]
    drawn += [f"{chance.choice(WORDS)} {chance.choice(SIGNS[:9])} {chance.choice(WORDS)}" for _ in range(300)]
    conditions = [*filter(None, FITTING), *WRONG, *MORE, *drawn]
    for name in ("columns", "condition"):
        page.add_script_tag(path=TEMPLATES / f"{name}.js")
    found = page.evaluate(
        """conditions => {
            const data = JSON.parse(document.getElementById("cases-data").textContent);
            const columns = unpacked(data);
            const cases = Array.from({ length: data.cases }, (_, row) => row);
            return conditions.map(text => {
                try {
                    return cases.filter(new Reader(text, columns, data.units).read());
                } catch (error) {
                    if (!(error instanceof Mistake)) throw error;
                    return error.message;
                }
            });
        }""",
        conditions,
    )
    frame = run.frame.assign(series=names(run.frame))
    expected: list[list[int] | str] = []
    for condition in conditions:
        try:
            expected.append([*where(frame, condition).index])
        except WhereError as error:
            expected.append(str(error))
    told = dict(zip(conditions, expected, strict=True))
    assert {each: told[each] for each in WRONG} == {each: f"expected {wrong}" for each, wrong in WRONG.items()}
    assert [each for each in MORE if isinstance(told[each], str)] == []

    def without_names(told: list[int] | str) -> list[int] | str:
        """Each side has its own measure of how alike names are."""
        return re.sub("(, such as .*| of the table)(?=, found)", "", told) if isinstance(told, str) else told

    assert dict(zip(conditions, map(without_names, found), strict=True)) == {
        condition: without_names(each) for condition, each in told.items()
    }
    assert found[conditions.index("tiem < 5ms")] == "expected a column, such as time, ties, found tiem at character 1"


def test_nothing_is_said_against_a_condition_that_is_still_typed(page: "Page") -> None:
    page.locator("#cases-condition").press_sequentially("N == 512 and ti")
    assert page.locator("#cases-message").inner_text() == ""
    assert many(page) == EVERY


def test_a_click_that_leaves_the_condition_opens_its_row(page: "Page") -> None:
    page.locator("#cases-condition").press_sequentially("N == 512")
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
    assert page.locator("#cases-table td.dt-empty").count() == 1
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
