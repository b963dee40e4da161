"""What a report says of runs that vary keys per query, directions or threads, on runs whose truth is known."""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import matplotlib as mpl
import numpy as np
import pytest
import rows
from settings import pattern_of
from test_reports_tables import cells

from attnbench.reports import figures
from attnbench.reports.drawing import panels
from attnbench.reports.drawing.style import STYLE
from attnbench.reports.findings.run import Run, load
from attnbench.reports.findings.sweeps import Sweep, common_density
from attnbench.reports.pages import run_report
from attnbench.reports.stats import crossover
from attnbench.reports.stats.crossover import ALWAYS, CROSSES, NEVER, UNCLEAR
from attnbench.reports.tables import tables
from attnbench.reports.text import cells as written
from attnbench.reports.text import outcomes
from attnbench.reports.text.answer import answer
from attnbench.suites import Sample, Status

N = 1024
WINDOWS = (17, 65, 129, 257, 511, 1023)
EXACT = {"process_sd": 0.0, "value_sd": 0.0}


def keys(name: str, **parameters: int) -> float:
    """Mean keys per query at N."""
    return pattern_of(name, parameters).spans(N).pairs() / N


def windows(implementation: str, times_ns: Sequence[float], chosen: Sequence[int] = WINDOWS) -> list[rows.Series]:
    """A sweep of `local_window` with these times at N."""
    return [
        rows.Series("local_window", implementation, {"window": window}, at_1024_ns=time_ns)
        for window, time_ns in zip(chosen, times_ns, strict=True)
    ]


LINEAR = windows("blockwise", [2e6 * keys("local_window", window=window) / 512 for window in WINDOWS])
"""As fast as the baseline at 512 keys; half of the speed-up by work, everywhere."""
LEVEL = windows("sdpa_masked", [2.5e6] * len(WINDOWS))
"""Simulated sparsity: no faster with few keys."""
BLOCKS = [rows.Series("block_local", "blockwise", {"block": block}, at_1024_ns=1e6) for block in (32, 128, 512)]
SWEPT = rows.Plan((rows.FULL, *LINEAR, *LEVEL, *BLOCKS), (N,), name="sweep", process_sd=0.0, value_sd=0.0)


def swept(tmp_path: Path, plan: rows.Plan = SWEPT) -> tuple[Run, dict[str, Sweep]]:
    """A run, and its sweeps by name."""
    run = load(rows.write(tmp_path, plan))
    return run, {each.name: each for each in run.results[0].sweeps}


def test_sweeps_are_what_varies_keys(tmp_path: Path) -> None:
    _, found = swept(tmp_path)
    assert list(found) == ["local_window/blockwise", "local_window/sdpa_masked", "block_local/blockwise"]
    one = found["local_window/blockwise"]
    assert one.keys == pytest.approx([keys("local_window", window=window) for window in WINDOWS])
    assert (one.seq_len, one.against, one.baseline["keys"].tolist()) == (N, "full/sdpa", [N])
    assert found["block_local/blockwise"].keys.tolist() == [32, 128, 512]


def test_a_grid_of_two_numbers_is_a_sweep_for_each_value_of_the_one_that_moves_fewer_keys(tmp_path: Path) -> None:
    """As one line, a slow dilated window with few keys would hide that the others are faster than the baseline."""
    grid = [
        replace(each, parameters={**each.parameters, "dilation": dilation}, at_1024_ns=each.at_1024_ns * factor)
        for each in LINEAR[:4]
        for dilation, factor in ((1, 1.0), (2, 40.0))
    ]
    _, found = swept(tmp_path, replace(SWEPT, series=(rows.FULL, *grid)))
    assert list(found) == ["local_window/blockwise", "local_window(dilation=2)/blockwise"]
    assert [each.limit.kind for each in found.values()] == [ALWAYS, NEVER]


def test_a_window_that_grows_to_both_sides_is_one_sweep(tmp_path: Path) -> None:
    both = [
        rows.Series("truncated", "blockwise", {"left": side, "right": side}, at_1024_ns=1e6) for side in (16, 64, 256)
    ]
    _, found = swept(tmp_path, replace(SWEPT, series=(rows.FULL, *both)))
    assert [len(each.frame) for each in found.values()] == [3]


def test_the_limit_the_growth_the_doubling_and_what_is_realised(tmp_path: Path) -> None:
    _, found = swept(tmp_path)
    linear, level, blocks = found.values()
    assert linear.limit.kind == CROSSES
    assert linear.limit[1:4] == pytest.approx((512, 512, 512))
    assert (level.limit.kind, blocks.limit.kind) == (NEVER, ALWAYS)
    assert float(linear.exponent.mean) == pytest.approx(1)
    assert float(level.exponent.mean) == pytest.approx(0, abs=1e-9)
    assert linear.doubling.at == pytest.approx(2 * linear.keys[0])
    assert level.doubling.kind == NEVER
    density = common_density([linear, level, blocks])
    assert density == pytest.approx(32 / N)
    for share in (32 / N, 0.1, 0.4):
        assert float(np.exp(linear.realised_at(share).mean)) == pytest.approx(0.5)
        assert float(np.exp(level.realised_at(share).mean)) == pytest.approx(0.8 * share)


def test_a_straight_line_through_times(tmp_path: Path) -> None:
    """3 ms and 2 us a key, found again with its interval; what bends is no line."""
    reached = [keys("local_window", window=window) for window in WINDOWS]
    series = (rows.FULL, *windows("blockwise", [3e6 + 2e3 * each for each in reached]))
    bent = windows("eager", [1e3 * each**2 for each in reached])
    plan = rows.Plan((*series, *bent), (N,), process_sd=0.01, value_sd=0.0, processes=9)
    run, found = swept(tmp_path, plan)
    fixed, per_key, misfit = found["local_window/blockwise"].line
    assert fixed.low < 3e6 < fixed.high
    assert per_key.low < 2e3 < per_key.high
    assert per_key.high - per_key.low < 200
    assert misfit < 0.04
    assert found["local_window/eager"].line.misfit > 0.5
    line = cells(tables.markdown(run), "forward, float32, cpu: keys per query at N = 1024")["local_window/blockwise"][1]
    assert re.fullmatch(r"(2\.9\d+|3\.0\d*) ms \+ (1\.9\d*|2\.0\d*) µs ±\d\.\d% a key", line)


def test_the_answer_to_a_question_about_keys(tmp_path: Path) -> None:
    run, _ = swept(tmp_path)
    limit, cost, realised = answer(run)
    assert re.search(r"^At N = 1024, block_local is faster than full .* local_window/blockwise up to 512 ", limit)
    assert "local_window/sdpa_masked not even with the fewest" in limit
    assert "3.906 µs" in cost
    assert re.search(r"local_window/blockwise realises 50% .* local_window/sdpa_masked 2%", realised)


def test_what_is_said_is_in_the_table(tmp_path: Path) -> None:
    run, _ = swept(tmp_path)
    found = cells(tables.markdown(run), "forward, float32, cpu: keys per query at N = 1024")
    assert found[""] == [
        *("keys per query", "a call takes about", "time grows as", "twice the time of the fewest"),
        *("faster than full/sdpa", "peak memory, times that of full/sdpa", "realised at a density of 3.1 %"),
    ]
    assert found["local_window/blockwise"][1:3] == ["3.906 µs ±<0.1% a key", "k^1.00 (1.00 to 1.00)"]
    assert found["local_window/blockwise"][4:] == [
        "up to 512 (512 to 512) keys",
        "1.00",
        "50% (50% to 50%)",
    ]
    assert found["block_local/blockwise"][0] == "32 to 512"
    assert found["local_window/sdpa_masked"][1] == "the same for all"
    fewest = keys("local_window", window=17)
    assert found["local_window/sdpa_masked"][3:5] == ["not up to 767.5 keys", f"slower at {fewest:.1f} keys"]
    assert ": growth" not in tables.markdown(run), "one length cannot grow"


def test_what_is_not_distinguishable_has_no_limit() -> None:
    x = np.array([1.0, 2.0, 4.0])
    agreed = np.array([[-1.0, -1, -1], [-1, -1, -1], [1, 1, 1]])
    found = crossover.limit(x, agreed)
    assert found.kind == CROSSES
    assert found.at == pytest.approx(np.sqrt(8))
    assert crossover.limit(x, -agreed).kind == NEVER
    assert crossover.crossover(x, -agreed).at == pytest.approx(np.sqrt(8))
    assert crossover.crossover(x, np.full((3, 2), np.nan)).kind == ""
    split = crossover.limit(x, np.where(np.arange(3) < 2, agreed, 1.0))
    assert split.kind == UNCLEAR, "two processes of three are faster with one key"
    assert written.limit(split) == "not distinguishable at 1 keys"


def test_an_interval_holds_the_truth(tmp_path: Path) -> None:
    _, found = swept(tmp_path, replace(SWEPT, process_sd=0.03, value_sd=0.02, processes=9))
    _, at, low, high, *_ = found["local_window/blockwise"].limit
    assert 400 < low < at < high < 640
    assert low < 512 < high


def test_without_a_baseline_nothing_is_compared(tmp_path: Path) -> None:
    run, found = swept(tmp_path, replace(SWEPT, baseline=None))
    assert {each.limit.kind for each in found.values()} == {""}
    told = "\n".join(answer(run))
    assert "One more key per query costs 3.906 µs a call with local_window/blockwise." in told
    assert "faster than" not in told
    assert "realises" not in told
    table = cells(tables.markdown(run), "forward, float32, cpu: keys per query at N = 1024")
    assert table["block_local/blockwise"][4] == "no baseline"


def test_two_processes_have_no_brackets(tmp_path: Path) -> None:
    run, _ = swept(tmp_path, replace(SWEPT, processes=2))
    assert "(" not in "\n".join(answer(run))


def test_two_numbers_of_keys_are_no_sweep(tmp_path: Path) -> None:
    plan = replace(SWEPT, series=(rows.FULL, *LINEAR[:2], *LEVEL[:2]))
    run, found = swept(tmp_path, plan)
    assert found == {}
    assert any("the fastest at N = 1024" in each for each in answer(run))


def test_what_did_not_pass_is_in_no_sweep(tmp_path: Path) -> None:
    failed = replace(LINEAR[-1], endings={N: rows.OOM})
    run, found = swept(tmp_path, replace(SWEPT, series=(rows.FULL, *LINEAR[:-1], failed)))
    assert len(found["local_window/blockwise"].keys) == len(WINDOWS) - 1
    assert outcomes.lines(run.outcomes)[1].startswith("Did not pass: 1 out_of_memory. Most: needs 16.0 GiB")


def test_flags_and_choices_make_sweeps_of_their_own(tmp_path: Path) -> None:
    sliding = [replace(each, parameters={**each.parameters, "edges": "slide"}) for each in LINEAR]
    _, found = swept(tmp_path, replace(SWEPT, series=(rows.FULL, *LINEAR, *sliding)))
    assert list(found) == ["local_window/blockwise", "local_window(edges=slide)/blockwise"]
    assert found["local_window(edges=slide)/blockwise"].keys.tolist() == list(WINDOWS)


def test_lengths_and_keys_are_both_answered(tmp_path: Path) -> None:
    run, found = swept(tmp_path, replace(SWEPT, lengths=(256, 512, N), series=(rows.FULL, *LINEAR)))
    assert found["local_window/blockwise"].seq_len == N
    told = "\n".join(answer(run))
    assert "At N = 1024, local_window is faster than full up to 512 (512 to 512) keys." in told
    assert "the fastest at N = 1024" in told
    assert [*figures.of(run)] == ["time", "memory", "speedup", "time_by_keys", "speedup_by_keys", "patterns"]


def test_a_baseline_that_failed_leaves_the_rest(tmp_path: Path) -> None:
    gone = replace(rows.FULL, endings={N: rows.TIMED_OUT})
    run, found = swept(tmp_path, replace(SWEPT, series=(gone, *LINEAR)))
    assert {each.against for each in found.values()} == {""}
    assert "faster than" not in "\n".join(answer(run))


DIRECTIONS = rows.Plan(
    (
        replace(rows.FULL, gradients={"forward": 1, "backward": 2, "training": 3.2}),
        replace(rows.LOCAL, gradients={"forward": 1, "backward": 4, "training": 5}),
    ),
    (512, 1024, 2048),
    ("forward", "backward", "training"),
    process_sd=0.0,
    value_sd=0.0,
)


def test_what_gradients_cost(tmp_path: Path) -> None:
    run = load(rows.write(tmp_path, DIRECTIONS))
    found = {(each.name, each.value): float(np.exp(each.time.mean)) for each in run.gradients}
    assert found == {
        ("full/sdpa", "backward"): pytest.approx(2),
        ("local_window(window=129)/blockwise", "backward"): pytest.approx(4),
        ("full/sdpa", "training"): pytest.approx(3.2),
        ("local_window(window=129)/blockwise", "training"): pytest.approx(5),
    }
    assert any("training takes" in each or "backward takes" in each for each in answer(run))
    table = cells(tables.markdown(run), "float32, cpu: against forward at N = 2048")
    of = [f"{words} of {value}" for words in ("peak memory", "work") for value in ("backward", "training")]
    assert table[""] == ["backward", "training", *of]
    times = ["2.000x (2.000 to 2.000)", "3.200x (3.200 to 3.200)"]
    assert table["full/sdpa"] == [*times, "1.00x", "1.00x", "2.00x", "3.00x"]


def test_what_a_level_and_its_parameters_add(tmp_path: Path) -> None:
    times = {"layer": 4e6, "attention": 1e6, "layer(positions=rotary)": 5e6}
    plans = [
        replace(DIRECTIONS, series=(replace(rows.FULL, at_1024_ns=time),), directions=("forward",), level=level)
        for level, time in times.items()
    ]
    meta = rows.meta(plans[0])
    meta["cases"] = [each for plan in plans for each in rows.meta(plan)["cases"]]
    told = sorted((row for plan in plans for row in rows.rows(plan)), key=lambda row: isinstance(row, Sample))
    run = load(rows.write_rows(tmp_path, meta, told))
    found = {(each.value, each.against): float(np.exp(each.time.mean)) for each in run.levels}
    assert found == {
        ("layer", "attention"): pytest.approx(4),
        ("layer(positions=rotary)", "layer"): pytest.approx(1.25),
    }
    assert answer(run)[:2] == [
        "At N = 2048, layer takes 4.00 times the time of attention with full.",
        "At N = 2048, layer(positions=rotary) takes 1.25 times the time of layer with full.",
    ]
    table = cells(tables.markdown(run), "forward, float32, cpu: against attention at N = 2048")
    assert table["full/sdpa"] == ["4.000x (4.000 to 4.000)", "1.00x", "1.00x"]


def test_one_direction_is_compared_with_nothing(tmp_path: Path) -> None:
    run = load(rows.write(tmp_path, replace(DIRECTIONS, directions=("training",))))
    assert run.gradients == ()
    assert "against forward" not in tables.markdown(run)


def test_a_series_without_gradients_is_left_out(tmp_path: Path) -> None:
    meta = rows.meta(DIRECTIONS)
    lost = {each["key"] for each in meta["cases"] if (each["variant"], each["direction"]) == ("full", "training")}
    told = [row for row in rows.rows(DIRECTIONS) if row.case not in lost]
    run = load(rows.write_rows(tmp_path, meta, told))
    assert ("full/sdpa", "training") not in {(each.name, each.value) for each in run.gradients}
    assert cells(tables.markdown(run), "float32, cpu: against forward at N = 2048")["full/sdpa"][1] == ""


THREADS = rows.Plan(
    (replace(rows.FULL, parallel=1.0), replace(rows.LOCAL, parallel=0.5)),
    (512, 1024, 2048),
    threads=(1, 2, "auto"),
    process_sd=0.0,
    value_sd=0.0,
)


def test_what_threads_buy(tmp_path: Path) -> None:
    run = load(rows.write(tmp_path, THREADS))
    (group,) = run.threads
    assert (group.fewest, group.most) == (1, 2)
    found = {(each.name, each.seq_len): each for each in group.gains}
    assert len(found) == 6
    for (name, _), gain in found.items():
        assert float(np.exp(gain.time.mean)) == pytest.approx(2 if name == "full/sdpa" else np.sqrt(2))
    assert answer(run)[0] == "With 2 threads instead of 1, all are faster (1.41 to 2.00 times) at N = 2048 and N = 512."
    assert {str(each) for each in group.frame["threads"]} == {"1", "2"}, "auto is 2"
    table = cells(tables.markdown(run), "forward, float32, cpu: faster with 2 threads than with 1")
    assert table["full/sdpa"] == ["2.000x (2.000 to 2.000)"] * 3
    assert [*figures.of(run)] == ["time", "memory", "speedup", "time_by_threads", "patterns"]


def test_auto_counts_where_its_number_did_not_pass(tmp_path: Path) -> None:
    meta = rows.meta(THREADS)
    lost = {each["key"] for each in meta["cases"] if (each["variant"], each["threads"]) == ("full", 2)}
    told = [row for row in rows.rows(THREADS) if row.case not in lost]
    run = load(rows.write_rows(tmp_path, meta, told))
    assert {(each.name, group.most) for group in run.threads for each in group.gains} == {
        ("full/sdpa", 2),
        ("local_window(window=129)/blockwise", 2),
    }


@pytest.mark.parametrize(
    "plan",
    [
        replace(THREADS, threads=(2,)),
        replace(THREADS, threads=("auto", 2)),
        replace(THREADS, devices=("cuda",)),
        replace(THREADS, series=(replace(rows.FULL, endings=dict.fromkeys((512, 1024, 2048), rows.OOM)),)),
    ],
)
def test_one_number_of_threads_is_compared_with_nothing(plan: rows.Plan, tmp_path: Path) -> None:
    run = load(rows.write(tmp_path, plan))
    assert [gain for each in run.threads for gain in each.gains] == []
    assert "time_by_threads" not in figures.of(run)


def words(path: Path) -> str:
    """All text of an SVG."""
    return " ".join("".join(each.itertext()) for each in ElementTree.parse(path).iter() if each.tag.endswith("}text"))


KEYS = ["time_by_keys", "speedup_by_keys", "patterns"]
FEW = (rows.FULL, *LINEAR[:3])
BOTH = replace(SWEPT, series=FEW, directions=("forward", "training"), threads=(1, 2), process_sd=0.02)
SHOWN = {
    "keys": (SWEPT, KEYS),
    "keys_without_baseline": (replace(SWEPT, baseline=None), KEYS),
    "keys_in_settings": (BOTH, ["time_by_keys", "speedup_by_keys", "time_by_threads", "patterns"]),
    "one_process": (replace(SWEPT, processes=1), KEYS),
    "threads": (THREADS, ["time", "memory", "speedup", "time_by_threads", "patterns"]),
}


def draw(run: Run, name: str, path: Path) -> Path:
    """A figure as SVG."""
    with mpl.rc_context(cast(Any, STYLE)):
        figures.load(name).draw(run).savefig(path, metadata={"Date": None, "Creator": None})
    return path


@pytest.mark.parametrize("name", SHOWN)
def test_a_run_has_the_figures_of_what_it_varies(name: str, tmp_path: Path) -> None:
    """Each can be drawn, without a warning, and is the same bytes twice."""
    plan, expected = SHOWN[name]
    run = load(rows.write(tmp_path, plan))
    assert [*figures.of(run)] == expected
    for each in {*expected} & {"time_by_keys", "speedup_by_keys", "time_by_threads"}:
        first = draw(run, each, tmp_path / "it.svg").read_bytes()
        assert draw(run, each, tmp_path / "it.svg").read_bytes() == first


def test_a_figure_over_keys_leaves_settings_out_where_they_are_very_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(panels, "MOST_ROWS", 2)
    plan = replace(SWEPT, series=FEW, threads=tuple(range(1, 7)), processes=1)
    run = load(rows.write(tmp_path, plan))
    for name in KEYS[:2]:
        assert "4 more settings are left out" in words(draw(run, name, tmp_path / "it.svg"))


def test_a_report_shows_the_figures_of_what_its_run_varies(tmp_path: Path) -> None:
    folder = rows.write(tmp_path, replace(SWEPT, series=(rows.FULL, *LINEAR)))
    text = run_report.write(load(folder)).read_text(encoding="utf-8")
    assert [line[2 : line.index("]")] for line in text.splitlines() if line.startswith("![")] == KEYS
    files = sorted(f"{each}.{kind}" for each in KEYS for kind in ("png", "svg"))
    assert sorted(path.name for path in (folder / "figures").iterdir()) == files


def test_what_the_figures_say(tmp_path: Path) -> None:
    run = load(rows.write(tmp_path, SWEPT))
    time, speedup = (words(draw(run, name, tmp_path / "it.svg")) for name in ("time_by_keys", "speedup_by_keys"))
    names = ("local_window/blockwise", "local_window/sdpa_masked", "block_local/blockwise")
    for text in ("keys per query", "N = 1024.", "30 %", *names):
        assert text in time, text
        assert text in speedup, text
    assert "full/sdpa" in time
    assert "bound by work" in speedup
    threads = words(draw(load(rows.write(tmp_path / "threads", THREADS)), "time_by_threads", tmp_path / "it.svg"))
    for text in ("threads", "full/sdpa", "by threads alone", "N = 2048."):
        assert text in threads
    nothing = load(rows.write(tmp_path / "none", replace(SWEPT, baseline=None)))
    assert "Nothing to draw" in words(draw(nothing, "speedup_by_keys", tmp_path / "it.svg"))


def test_a_status_stays_a_status(tmp_path: Path) -> None:
    """A run of sweeps in which nothing passed says so."""
    gone = {N: (Status.FAILED, "it raised")}
    run = load(rows.write(tmp_path, replace(SWEPT, series=tuple(replace(each, endings=gone) for each in LINEAR))))
    assert answer(run) == ["No case passed: 6 failed."]
    assert [*figures.of(run)] == ["ranking", "patterns"]
