"""The page of a run, report.html: what it holds, that text stays text, its size, and how it works in a browser."""

import hashlib
import json
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import browsing
import pytest
import rows
from commands import bench

from attnbench.reports import html
from attnbench.reports.data.files import put
from attnbench.reports.findings.run import Run, load
from attnbench.reports.html import page, shell
from attnbench.reports.html.metrics import METRICS
from attnbench.reports.pages import run_report
from attnbench.reports.tables import tables
from attnbench.reports.text import citation, first_screen
from attnbench.reports.text.answer import answer

if TYPE_CHECKING:
    from playwright.sync_api import Page

HOSTILE = (
    "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">{{ 7*7 }}&amp;<b>"
)
MECHANISM = "<i>a</i>&b'\""
FAILING = rows.Plan(
    (
        replace(rows.FULL, endings={2048: rows.OOM}),
        replace(rows.QUICK.series[0], endings={1024: rows.TIMED_OUT, 2048: rows.SKIPPED}),
        rows.LOCAL,
    ),
    (256, 512, 1024, 2048),
    ("forward", "training"),
    roof_flops_per_s=1e11,
    proved=1.0,
)
WINDOWS = tuple(replace(rows.LOCAL, parameters={"window": 2 * each + 1}) for each in range(8, 24))


def report_of(run: Run) -> str:
    return run_report.report(run, tables.markdown(run))


def page_of(run: Run) -> str:
    return page.page(run, report_of(run))


class Tags(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "action", "srcset", "data")]

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return load(rows.write(tmp_path_factory.mktemp("quick"), FAILING))


@pytest.fixture(scope="module")
def path(run: Run) -> Path:
    put(run.folder / "page.html", page_of(run))
    return run.folder / "page.html"


def test_the_page_holds_what_the_report_says(run: Run, path: Path) -> None:
    found = Tags(path.read_text(encoding="utf-8"))
    assert run.meta["question"] in found.text
    for sentence in answer(run):
        assert sentence in found.text
    for row in first_screen.table(run).rows:
        assert set(row) <= {each.strip() for each in found.words} | {row[0]}
    for title in re.findall(r"^#{2,3} (.*)$", report_of(run), re.MULTILINE):
        shown = re.sub(r"\\(.)", r"\1", title)
        assert shown in found.text or shown == "Figures", shown
    for text in ("bench run synthetic.yaml", "name: synthetic", "Example CPU", "Cite this run", "128"):
        assert text in found.text


def test_nothing_is_loaded_from_elsewhere(path: Path) -> None:
    found = Tags(path.read_text(encoding="utf-8"))
    assert {each[:1] for each in found.links} == {"#"}
    assert not {"link", "iframe", "object", "embed", "base"} & set(found.tags)
    assert "default-src 'none'" in path.read_text(encoding="utf-8")


def test_a_rebuild_gives_the_same_bytes(run: Run, path: Path) -> None:
    assert page_of(load(run.folder)) == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("plan", [rows.QUICK, replace(FAILING, lengths=(2048,)), replace(FAILING, baseline=None)])
def test_a_page_of_few_cases_is_below_3_mb(tmp_path: Path, plan: rows.Plan) -> None:
    assert len(page_of(load(rows.write(tmp_path, plan))).encode()) < 3_000_000


@pytest.mark.slow
def test_a_page_of_10_000_cases_is_below_6_mb(tmp_path: Path) -> None:
    windows = (replace(rows.LOCAL, parameters={"window": 2 * each + 1}) for each in range(8, 107))
    lengths, threads = (128, 256, 512, 1024, 2048), tuple(range(1, 8))
    plan = rows.Plan((rows.FULL, *windows), lengths, ("forward", "backward", "training"), threads=threads)
    run = load(rows.write(tmp_path, replace(plan, processes=3, values=1, roof_flops_per_s=1e12, proved=1.0)))
    assert len(run.frame) >= 10_000
    assert len(page_of(run).encode()) < 6 * 2**20


def test_tables_that_do_not_fit_are_left_out_with_a_word(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    every = sum(len(each.parts) for each in shell.sections(report_of(run)))
    monkeypatch.setattr(page, "_MOST_TABLES", 2_000)
    found = Tags(page_of(run))
    told = re.search(r"The page has no room for (\d+) more of these tables. They are in report.md.", found.text)
    assert told is not None
    assert found.tags["h3"] == every - int(told[1]) > 0


def hostile(folder: Path) -> Run:
    """A run whose every text is hostile."""
    meta = rows.meta(FAILING)
    meta |= {"name": HOSTILE, "question": HOSTILE, "command": HOSTILE, "source": f"```\n## {HOSTILE}\n"}
    meta["environment"] |= {"cpu": HOSTILE, HOSTILE: HOSTILE}
    for each in meta["cases"]:
        if each["variant"] == "local_window":
            each["label"] = MECHANISM + HOSTILE
    meta["patterns"] = [{**each, "label": MECHANISM + HOSTILE} for each in meta["patterns"]]
    found = [replace(each, reason=HOSTILE) if each.reason else each for each in rows.rows(FAILING)]
    return load(rows.write_rows(folder, meta, found))


def test_hostile_text_stays_text(run: Run, path: Path, tmp_path: Path) -> None:
    text = page_of(hostile(tmp_path))
    found, usual = Tags(text), Tags(path.read_text(encoding="utf-8"))
    assert found.tags["script"] == usual.tags["script"]
    assert found.tags["img"] == found.tags["b"] == found.tags["i"] == 0
    assert {each[:1] for each in found.links} == {"#"}
    assert HOSTILE in found.text
    assert "{{ 7*7 }}" in found.text
    for part in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', text, re.DOTALL):
        assert "<" not in part
        json.loads(part)


def test_data_cannot_end_its_script() -> None:
    assert shell.data({"a": "</script><!--"}) == '{"a":"\\u003c/script>\\u003c!--"}'
    assert json.loads(shell.data({"a": "</script><!--"})) == {"a": "</script><!--"}


MARKDOWN = """# t

x

## A `b` \\<i\\>

![p](http://x)

### C

| a | b |
| --- | ---: |
| c | d |

## D
"""


def test_sections_of_a_report() -> None:
    first, second = shell.sections(MARKDOWN)
    assert (first.title, second.title) == ("A <code>b</code> &lt;i&gt;", "D")
    assert "<img" not in first.body
    (part,) = first.parts
    assert part.title == "C"
    assert '<div class="scroll" tabindex="0" role="region" aria-label="C"><table>' in part.body
    assert "<td>c<td>d" in part.body


@pytest.mark.parametrize("metric", METRICS, ids=lambda each: each.column)
@pytest.mark.parametrize("ends", [(1.0, 1.1), (0.02, 50.0), (1e3, 1e10)])
def test_ticks_ascend_and_reach_both_ends(metric: Any, ends: tuple[float, float]) -> None:
    found = metric.ticks(*ends)
    places = [each.place for each in found]
    assert places == sorted(set(places))
    assert places[0] <= ends[0]
    assert places[-1] >= ends[1]
    assert {each.rank for each in found} <= {0, 1, 2}


def test_a_citation_names_run_and_data(run: Run) -> None:
    told = hashlib.sha256()
    for name in ("run.json", "samples.jsonl"):
        told.update((run.folder / name).read_bytes())
    found = citation.bibtex(run)
    assert found.startswith("@misc{attnbench-synthetic-2026,\n")
    assert told.hexdigest() in found
    assert "year         = {2026}" in found
    assert "SHA-256 of run.json and samples.jsonl" in found


def test_a_citation_of_a_hostile_run_keeps_its_braces(tmp_path: Path) -> None:
    found = citation.bibtex(hostile(tmp_path))
    assert found.count("{") == found.count("}"), "BibTeX counts each of them"
    assert "\\{" not in found


def test_without_the_packages_a_report_says_how_to_get_them(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = rows.write(tmp_path, rows.QUIET)
    code, output = bench("report", folder)
    assert (code, output) == (0, f"{folder / 'report.md'}\n{folder / 'report.html'}\n")
    (folder / "report.html").unlink()
    monkeypatch.setattr(html, "PACKAGES", ("no_such_package",))
    code, output = bench("report", folder)
    assert (code, output) == (0, f"{folder / 'report.md'}\n{html.HINT}\n")
    assert not (folder / "report.html").exists()


@pytest.mark.parametrize(
    "plan",
    [
        replace(FAILING, series=(replace(rows.FULL, endings=dict.fromkeys(FAILING.lengths, rows.OOM)),)),
        replace(FAILING, lengths=(512,), processes=1),
        replace(FAILING, baseline=None),
        replace(FAILING, devices=("cpu", "cuda"), threads=(1, 2)),
    ],
    ids=["none_passed", "one_process", "no_baseline", "two_devices"],
)
def test_odd_runs_have_a_page(tmp_path: Path, visit: browsing.Visit, plan: rows.Plan) -> None:
    run = load(rows.write(tmp_path, plan))
    put(tmp_path / "page.html", page_of(run))
    found = opened(visit, tmp_path / "page.html")
    assert run.meta["question"] in found.inner_text("h1")
    assert found.locator(".chart").count() == int((run.frame["status"] == "passed").any())


def test_an_empty_and_an_unfinished_run_have_a_page(tmp_path: Path) -> None:
    meta = rows.meta(rows.QUICK)
    empty = load(rows.write_rows(tmp_path / "a", meta | {"cases": [], "patterns": []}, []))
    assert "The run has no cases." in page_of(empty)
    part = load(rows.write_rows(tmp_path / "b", meta | {"finished": None}, [*rows.rows(rows.QUICK)][:30]))
    assert "This run is not finished: 0 of 48 cases have a result." in page_of(part)


# In a browser.


def opened(visit: browsing.Visit, path: Path, **options: Any) -> "Page":
    """Open a page, and wait until its figures are drawn."""
    found = visit(path, **options)
    found.wait_for_function("[...document.querySelectorAll('.chart .reading')].every((each) => each.textContent)")
    return found


def source(found: "Page", name: str, column: str, figure: int = 0) -> list[Any]:
    """A column of what bokeh draws."""
    told: list[Any] = found.evaluate(
        f"Array.from(Bokeh.documents[{figure}].get_model_by_name('{name}').data['{column}'])"
    )
    return told


def lines(found: "Page", figure: int = 0) -> list[str]:
    """The colours of the lines that are drawn."""
    drawn = zip(source(found, "lines", "xs", figure), source(found, "lines", "colour", figure), strict=True)
    return [colour for xs, colour in drawn if xs]


def test_figures_show_the_numbers_of_the_run(visit: browsing.Visit, run: Run, path: Path) -> None:
    found = opened(visit, path)
    forward = run.frame[run.frame["direction"] == "forward"]
    passed = forward[forward["status"] == "passed"]
    assert sorted(source(found, "points", "y")) == pytest.approx(sorted(passed["time_ns"]), rel=1e-4)
    assert sorted(source(found, "ended", "words")) == ["OOM", "TIME-OUT", "skipped"]
    assert set(source(found, "ended", "reason")) == {rows.OOM[1], rows.TIMED_OUT[1], rows.SKIPPED[1]}
    found.select_option("select.axis", label="training")
    found.select_option("select.metric", label="peak memory of one call")
    training = run.frame[(run.frame["direction"] == "training") & (run.frame["status"] == "passed")]
    assert sorted(source(found, "points", "y")) == pytest.approx(sorted(training["peak_bytes"].astype(float)))
    assert not any(source(found, "bands", "xs"))
    found.select_option("select.metric", label="speed-up against the baseline")
    assert any(map(any, source(found, "bounds", "ys")))
    assert any(" to " in each for each in source(found, "points", "value"))


def test_the_first_screen_fits_and_follows_the_scheme(visit: browsing.Visit, path: Path) -> None:
    found = opened(visit, path)
    assert found.evaluate("document.querySelector('.first').getBoundingClientRect().bottom") <= browsing.WIDE[1]
    assert "#262626" in lines(found)
    found.emulate_media(color_scheme="dark")
    # The page hears of the scheme when it draws its next frame.
    found.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert "#e4e6e8" in lines(found)
    assert "#262626" not in lines(found)


def test_many_series_begin_with_those_of_the_table_and_can_be_found(visit: browsing.Visit, tmp_path: Path) -> None:
    plan = rows.Plan((rows.FULL, *WINDOWS), (512, 1024, 2048), ("forward",))
    run = load(rows.write(tmp_path, plan))
    put(tmp_path / "page.html", page_of(run))
    found = opened(visit, tmp_path / "page.html")
    assert run.summary is not None
    first = lines(found)
    assert len(first) == len(run.summary.rows) == 10
    legend = found.locator("#length .legend")
    legend.locator("input[type=search]").fill("window=33")
    assert [each.inner_text() for each in legend.locator("li label").all() if each.is_visible()] == [
        "local_window(window=33)"
    ]
    legend.locator("p button").click()
    assert len(lines(found)) == 17
    # Over keys per query there is one line for all windows, and one for the baseline.
    assert len(lines(found, figure=1)) == 2
    assert browsing.violations(found) == []


def test_a_ranking_has_a_row_for_each_series(visit: browsing.Visit, tmp_path: Path) -> None:
    run = load(rows.write(tmp_path, replace(FAILING, lengths=(1024,), directions=("forward",))))
    put(tmp_path / "page.html", page_of(run))
    found = opened(visit, tmp_path / "page.html")
    order = found.evaluate("Bokeh.documents[0].get_model_by_name('rows').factors")
    assert order == ["full/eager", "full/sdpa", "local_window(window=129)"]
    assert source(found, "ended", "words") == ["TIME-OUT"]
    browsing.screenshot(found, "report-ranking")
