"""The first screen of random and special runs: what the answer promises, that nothing contradicts, how wide it is."""

import io
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import product, starmap
from pathlib import Path

import numpy as np
import pytest
import rows
from rich.cells import cell_len
from rich.console import Console
from test_reports_page import PLANS
from test_reports_tables import EXACT, FAILING, cells

from attnbench.reports.data.settings import names
from attnbench.reports.data.values import ALWAYS, CLOSE, CROSSES, FASTER, NEVER, SLOWER, UNCLEAR, verdicts
from attnbench.reports.findings.crossovers import LONGER
from attnbench.reports.findings.run import Run, load
from attnbench.reports.pages import run_report
from attnbench.reports.tables import tables, terminal
from attnbench.reports.text import answer, first_screen, outcomes
from attnbench.reports.text.names import shortest
from attnbench.suites import Probe, Sample

WINDOWS = tuple(rows.Series("local_window", "blockwise", {"window": window}) for window in (17, 65, 257, 1023))
OTHERS = (
    rows.Series("longformer", "blockwise", {"window": 129}),
    rows.Series("bigbird", "native", {"block": 32}),
    rows.Series("truncated", "blockwise", {"left": 64, "right": 64}),
    rows.Series("full", "eager", exponent=2.0),
)


KERNELS = ("sdpa", "native", "eager")


def implemented(variant: str, kernel: tuple[int, str]) -> rows.Series:
    """A series of a variant; later kernels take longer, but `sdpa` the longest for another variant than `full`."""
    place, name = kernel
    return rows.Series(variant, name, {}, 1e6 * (5 if name == "sdpa" and variant != "full" else 1 + place))


def drawn(seed: int) -> rows.Plan:
    """A random run: which series, lengths and directions, how fast each is, what fails, and how noisy it is."""
    rng = np.random.default_rng(seed)
    chosen = (*(WINDOWS if rng.random() < 0.4 else WINDOWS[1:2]), *OTHERS[: rng.integers(0, 5)])
    lengths = [(1024,), (512, 1024), (256, 512, 1024, 2048)][rng.integers(0, 3)]

    def series(one: rows.Series) -> rows.Series:
        fails = {n: rows.OOM for n in lengths[1:] if rng.random() < 0.1}
        time_ns, exponent = 2e6 * float(np.exp(rng.normal(0, 0.3))), float(rng.uniform(0.8, 2.1))
        return replace(one, at_1024_ns=time_ns, exponent=exponent, endings=fails)

    return rows.Plan(
        (series(rows.FULL), *map(series, chosen)),
        lengths,
        ("forward", "training") if rng.random() < 0.3 else ("forward",),
        threads=(1, 2) if rng.random() < 0.2 else ("auto",),
        processes=int(rng.choice([1, 2, 3, 5])),
        process_sd=float(rng.choice([0.0, 0.02, 0.1, 0.4])),
        baseline=None if rng.random() < 0.15 else "full/sdpa",
        seed=seed,
    )


EVERY: dict[str, rows.Plan] = {
    **PLANS,
    "exact": EXACT,
    "several_failing": FAILING,
    "decode": replace(EXACT, directions=("decode",)),
    "layer": replace(EXACT, level="layer"),
    "energies": replace(EXACT, series=tuple(replace(each, watts=20.0) for each in EXACT.series)),
    "energies_of_few": replace(EXACT, series=tuple(replace(each, watts=20.0) for each in EXACT.series), processes=2),
    "kernels": replace(EXACT, series=tuple(starmap(implemented, product(("full", "bigbird"), enumerate(KERNELS))))),
    "threads": replace(EXACT, series=(replace(rows.FULL, parallel=1.0), *EXACT.series[1:]), threads=(1, 2)),
    **{f"drawn_{seed}": drawn(seed) for seed in range(24)},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Every run above."""
    return {name: load(rows.write(tmp_path_factory.mktemp("run"), plan)) for name, plan in EVERY.items()}


def sentences(run: Run) -> Iterator[str]:
    """All sentences of a run: those of its answer, and those of each setting."""
    yield from answer.answer(run)
    for each in run.results:
        yield from answer.of(each, shortest(run.frame)) if each.passed else []


def plain(sentence: str, run: Run) -> str:
    """A sentence with each name as one word without brackets."""
    sweeps = [each for results in run.results for each in results.sweeps]
    known = {*shortest(run.frame).values(), *(each.label for each in sweeps), *(each.name for each in sweeps)}
    for name in sorted(known, key=len, reverse=True):
        sentence = re.sub(rf"(?<![\w/]){re.escape(name)}(?![\w(/])", "NAME", sentence)
    return sentence


@pytest.mark.parametrize("name", EVERY)
def test_an_answer_is_short(runs: dict[str, Run], name: str) -> None:
    run = runs[name]
    assert 1 <= len(answer.answer(run)) <= 3
    for sentence in sentences(run):
        told = plain(sentence, run)
        assert len(told.split()) <= 25, told
        assert told.count("(") <= 1, told
        assert told.endswith("."), told
        assert not told.startswith("the "), told
        assert not re.search(r"[\[\]\\*]|nan|inf\b|None", told), told


@pytest.mark.parametrize("name", EVERY)
def test_a_report_opens_with_its_first_screen(runs: dict[str, Run], name: str) -> None:
    run = runs[name]
    report = run_report.report(run, tables.markdown(run))
    head = report.partition("\n## ")[0]
    assert head.splitlines()[0] == f"# {run.meta['name']}"
    assert len([line for line in head.splitlines() if line.startswith("- ")]) == len(answer.answer(run))
    assert len(first_screen.table(run).rows) <= 10
    assert "\\" not in report.partition("## How to read this")[0], "no escape is needed"
    assert "nan" not in head


def told_faster(run: Run) -> set[tuple[str, int]]:
    """The series that a run's frame has as faster, with their lengths."""
    frame = run.frame[verdicts(run.frame["speedup_low"], run.frame["speedup_high"]) == FASTER]
    return set(zip(names(frame), frame["seq_len"], strict=True))


@pytest.mark.parametrize("name", EVERY)
def test_no_two_places_disagree_about_who_is_faster(runs: dict[str, Run], name: str) -> None:
    """The verdict of each case is that of the frame, in crossovers, sweeps, standings, the first screen and words."""
    run = runs[name]
    for results in run.results:
        frame = results.setting.frame
        cases = zip(names(frame), frame["seq_len"], strict=True)
        told = dict(zip(cases, verdicts(frame["speedup_low"], frame["speedup_high"]), strict=True))
        n, named = results.compared_at, shortest(run.frame)
        for word, part in zip((FASTER, SLOWER, CLOSE), results.standing, strict=True):
            assert all(told[each, n] == word for each in names(part))
        for series, row in results.growth:
            known = {length: told[series, length] for each, length in told if each == series and told[series, length]}
            if row["crossover"]:
                last = known[max(known)]
                assert (row["crossover"] == ALWAYS) == (set(known.values()) == {FASTER})
                assert (row["crossover"] in (ALWAYS, CROSSES)) == (last == FASTER)
                assert (row["crossover"] == NEVER) == (last == SLOWER)
                assert (row["crossover"] == UNCLEAR) == (last == CLOSE)
                numbers = row[["compared_from", "crossover_low", "crossover_seq_len", "crossover_high", "compared_to"]]
                assert numbers.dropna().astype(float).is_monotonic_increasing, "inside of what was measured"
                for length in (each for each in known if row["crossover"] == CROSSES and each > row["crossover_high"]):
                    assert known[length] == FASTER
            else:
                assert row["crossover_reason"]
        for sweep in results.sweeps:
            if sweep.limit.kind:
                at = [told[each, sweep.seq_len] for each in names(run.frame.loc[sweep.frame.index])]
                assert (sweep.limit.kind == ALWAYS) == (set(at) == {FASTER})
                assert (sweep.limit.kind in (ALWAYS, CROSSES)) == (at[0] == FASTER)
            else:
                assert sweep.limit_reason
        for sentence in answer.of(results, named) if results.passed else []:
            fastest = r"(?P<name>\S+( \S+)*) is (the|among the) fastest at N = (?P<n>\d+), \S+ times as fast"
            if found := re.match(fastest, sentence):
                (series,) = [each for each, word in named.items() if word == found["name"]]
                assert told[series, int(found["n"])] == FASTER
            if "Nothing is shown to be faster" in sentence:
                assert FASTER not in {word for (_, length), word in told.items() if length == n}
            best = r"\bN = (\d+), (\S+) is the fastest implementation of (all|\d+ of) (\d+) variants"
            if said := re.search(best, sentence):
                length, leader, some, every = said.groups()
                at = [each for each in results.implementations if each.seq_len == int(length)]
                led = sum(each.implementation == leader and each.is_shown for each in at)
                assert (led, len(at)) == (int(every) if some == "all" else int(some.split()[0]), int(every))
            for many in re.findall(r"(\d+) of \d+ other series are faster than \S+( and|,|\.)", sentence):
                assert int(many[0]) == len(results.standing.faster)
    for group in run.threads:
        for each in (each for each in group.crossovers if each.moved):
            few, many = each.by_count[group.fewest], each.by_count[group.most]
            better, worse = (few, many) if each.moved == LONGER else (many, few)
            assert better["crossover"] in (ALWAYS, CROSSES)
            assert worse["crossover"] in (CROSSES, NEVER)
            if better["crossover"] == worse["crossover"]:
                assert better["crossover_high"] < worse["crossover_low"]
    for sentence in answer.answer(run):
        for name, side in re.findall(r"the crossover of (.+?) is at a (longer|shorter) length", sentence):
            moved = [each.name for each in run.threads[0].crossovers if each.moved == side]
            assert [shortest(run.frame)[each] for each in moved] == [name]
    summary = run.summary
    for line, cell in zip(summary.rows if summary else (), first_screen.table(run).rows, strict=True):
        word = str(verdicts(line.case["speedup_low"], line.case["speedup_high"]))
        if cell[1] in (FASTER, SLOWER, CLOSE):
            assert cell[1] == word
        if cell[1].startswith(("N = ", "every length")):
            assert (line.name, line.case["seq_len"]) in told_faster(run)


def shown(run: Run, width: int) -> list[str]:
    """What the terminal shows."""
    console = Console(width=width, file=io.StringIO())
    terminal.show(run, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


LONG = tuple(
    rows.Series("local_window", "blockwise", {"window": window, "dilation": 3}, at_1024_ns=1e6 + window)
    for window in range(101, 141, 2)
)
WIDE: dict[str, rows.Plan] = {
    "cases_46": rows.Plan((rows.FULL, *LONG, *OTHERS[:2]), (1024, 2048), process_sd=0.1, unsteady=(1,)),
    "cases_1000": rows.Plan(
        (rows.FULL, *LONG[:9]), tuple(range(256, 256 + 16 * 50, 16)), ("forward", "training"), processes=3
    ),
}


@pytest.mark.parametrize("width", [60, 80, 100])
@pytest.mark.parametrize("name", ["quick", "failing", "exact", "decode", "none_passed", "drawn_3", *WIDE])
def test_the_terminal_breaks_no_name(tmp_path: Path, name: str, width: int) -> None:
    plan = replace({**EVERY, **WIDE}[name], name="quick")
    meta = rows.meta(plan) | {"question": "What does each way of mixing tokens cost? " * 12}
    run = load(rows.write_rows(tmp_path, meta, rows.rows(plan)))
    lines = shown(run, width)
    if width == 100:
        assert len(lines) <= 38, "the path of the report and a blank come on top"
    longest = max(map(len, shortest(run.frame).values()))
    assert max(map(cell_len, lines)) <= max(width, longest + 6)
    whole = "\n".join(lines)
    summary = run.summary
    for row in first_screen.table(run).rows:
        assert row[0] in whole, "a name is on one line"
    for sentence in answer.answer(run):
        for each in shortest(run.frame).values():
            assert sentence.count(each) == 0 or each in whole
    for line in outcomes.lines(run.outcomes):
        assert line[:20] in whole
    if summary and summary.left_out:
        assert f"{summary.left_out} more series" in " ".join(whole.split())


def test_columns_that_do_not_fit_are_named(tmp_path: Path) -> None:
    run = load(rows.write(tmp_path, rows.QUICK))
    wide, narrow = (" ".join(" ".join(shown(run, width)).split()) for width in (100, 60))
    hint = "in the report: faster from, "
    assert (hint in wide, hint in narrow) == (False, True)
    for column in first_screen.table(run).header:
        assert column in narrow


def test_the_terminals_colours(tmp_path: Path) -> None:
    console = Console(width=100, force_terminal=True, color_system="standard", file=io.StringIO())
    terminal.show(load(rows.write(tmp_path, replace(rows.QUICK, process_sd=0.003, proved=1.0))), console)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert re.search(r"truncated\(left=64, right=64\)\s+\x1b\[32m", text), "faster"
    assert re.search(r"full/eager\s+\x1b\[31m", text), "slower"


def test_most_important_is_the_setting_with_most_that_passed(tmp_path: Path) -> None:
    lost = dict.fromkeys((256, 512), rows.OOM)
    plan = replace(rows.QUICK, directions=("forward", "training"))
    even = load(rows.write(tmp_path / "even", plan)).summary
    assert even is not None
    assert even.results.setting.title.startswith("forward"), "the suite's first of several"
    gone = {
        each.key
        for series, each in rows.cases(plan)
        if each.setting.direction == "forward" and series.variant == "bigbird" and each.setting.shape.seq_len in lost
    }
    left = [row for row in rows.rows(plan) if row.case not in gone]
    most = load(rows.write_rows(tmp_path / "most", rows.meta(plan), left)).summary
    assert most is not None
    assert most.results.setting.title.startswith("training")


def test_the_baseline_and_one_of_each_kind_come_first(tmp_path: Path) -> None:
    slow = replace(OTHERS[0], at_1024_ns=9e6)
    run = load(rows.write(tmp_path, replace(EXACT, series=(rows.FULL, *LONG, slow))))
    summary = run.summary
    assert summary is not None
    assert (len(summary.rows), summary.left_out) == (10, 12)
    assert summary.rows[0].name == "full/sdpa"
    assert "longformer(window=129)/blockwise" in [row.name for row in summary.rows], "slow, but of another mechanism"
    times = [row.case["time_ns"] for row in summary.rows[1:]]
    assert times == sorted(times)


def with_a_length_more(tmp_path: Path, *, processes: int) -> Run:
    """A run to which 2048 was added later, in other processes."""
    plan = replace(EXACT, process_sd=0.01, processes=processes)
    late = {each.key for _, each in rows.cases(plan) if each.setting.shape.seq_len == 2048}
    told: list[Probe | Sample] = [
        replace(row, part=1) if isinstance(row, Sample) and row.case in late else row for row in rows.rows(plan)
    ]
    meta = rows.meta(plan)
    meta["resumed"] = [
        {
            "started": "2026-01-03T03:04:05+00:00",
            "command": "bench run longer.yaml --resume run --anyway",
            "processes": processes,
            "environment": meta["environment"],
            "changed": {"suite.shape.seq_len[3]": [None, 2048]},
        }
    ]
    return load(rows.write_rows(tmp_path, meta, told))


def test_a_length_that_was_added_later_leaves_growth_and_crossover(tmp_path: Path) -> None:
    run = with_a_length_more(tmp_path, processes=5)
    row = dict(run.results[0].growth)["local_window(window=129)/blockwise"]
    assert (row["fitted_from"], row["fitted_to"]) == (256, 1024), "no process has these and 2048"
    assert row["time_exponent"] == pytest.approx(1, abs=0.05)
    assert row["time_exponent_low"] < 1 < row["time_exponent_high"]
    assert (row["compared_from"], row["compared_to"], row["processes"]) == (256, 2048, 5)
    assert row["crossover_low"] < 0.4 * 1024 < row["crossover_high"]
    grown = cells(tables.markdown(run), "forward, float32, cpu: growth")["local_window(window=129)/blockwise"]
    assert grown[1] == "256 to 1024; others are of other processes"
    assert grown[3].startswith("N^"), "over 256 to 1024"


def test_a_rival_of_other_processes_is_not_shown_to_be_slower(tmp_path: Path) -> None:
    """A variant that was added later, without a baseline beside it."""
    plan = replace(EXACT, processes=5)
    late = {each.key for series, each in rows.cases(plan) if series.variant == "local_window"}
    told: list[Probe | Sample] = [
        replace(row, part=1) if isinstance(row, Sample) and row.case in late else row for row in rows.rows(plan)
    ]
    meta = rows.meta(plan)
    part = {"started": "2026-01-03T03:04:05+00:00", "processes": 5, "environment": meta["environment"], "changed": {}}
    meta["resumed"] = [part]
    run = load(rows.write_rows(tmp_path, meta, told))
    fastest = run.results[0].fastest
    assert fastest is not None
    assert (fastest.name, len(fastest.close)) == ("local_window(window=129)/blockwise", 1)
    assert "; full is not shown to be slower." in answer.answer(run)[0]
    shown = {row[0]: row[1] for row in first_screen.table(run).rows}
    assert shown["local_window(window=129)"] == "no length passed beside the baseline"


def test_every_command_of_a_run_is_in_its_report(tmp_path: Path) -> None:
    report = run_report.report(with_a_length_more(tmp_path, processes=5), "")
    commands = report.split("## Commands\n\n```sh\n")[1].split("\n```")[0].splitlines()
    assert commands == ["bench run synthetic.yaml", "bench run longer.yaml --resume run --anyway"]


def test_what_is_left_out_has_its_reason(tmp_path: Path) -> None:
    few = load(rows.write(tmp_path / "few", replace(EXACT, processes=2)))
    grown = cells(tables.markdown(few), "forward, float32, cpu: growth")
    assert grown["local_window(window=129)/blockwise"][2] == "fewer than 3 processes"
    assert [row[1] for row in first_screen.table(few).rows] == ["the baseline", "fewer than 3 processes"]
    short = load(rows.write(tmp_path / "short", replace(EXACT, lengths=(512, 1024))))
    assert "Left out: time grows as (fewer than 3 lengths in 3 octaves)" in tables.markdown(short)
    gone = replace(rows.FULL, endings=dict.fromkeys(EXACT.lengths, rows.OOM))
    alone = load(rows.write(tmp_path / "alone", replace(EXACT, series=(gone, EXACT.series[1]))))
    grown = cells(tables.markdown(alone), "forward, float32, cpu: growth")
    assert grown["local_window(window=129)/blockwise"][2] == "no length passed beside the baseline"


def test_a_hostile_name_stays_text(tmp_path: Path) -> None:
    hostile = "a|b [x](y) <script>alert(1)</script> **bold** `c`"
    meta = rows.meta(EXACT)
    for each in meta["cases"]:
        each["label"] = hostile if each["variant"] == "local_window" else "full"
    run = load(rows.write_rows(tmp_path, meta, rows.rows(EXACT)))
    head = run_report.report(run, tables.markdown(run)).partition("\n## ")[0]
    assert "<script>" not in head
    assert r"a\|b \[x\](y)" in head
    assert hostile in "\n".join(shown(run, 100))
