"""Tables and the answer in words, on runs whose truth is known."""

import io
import math
import random
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import rows

from attnbench.reports.data.settings import call_tokens
from attnbench.reports.findings.run import load
from attnbench.reports.tables import tables
from attnbench.reports.text import escape, outcomes, units
from attnbench.reports.text.answer import answer
from attnbench.suites import Probe, Status

FAST = replace(rows.LOCAL, at_1024_ns=0.8e6)
EXACT = rows.Plan((rows.FULL, FAST), (256, 512, 1024, 2048), process_sd=0, value_sd=0)
FAILING = rows.Plan(
    (
        replace(rows.FULL, endings={2048: rows.TIMED_OUT}),
        replace(FAST, endings={256: (Status.WRONG, "off by 0.1")}),
        replace(FAST, implementation="sdpa_masked", endings={1024: rows.OOM, 2048: rows.SKIPPED}),
    ),
    (256, 512, 1024, 2048),
    ("forward", "training"),
)


def cells(markdown: str, heading: str) -> dict[str, list[str]]:
    """The rows of the table under a heading, by their first cell."""
    body = markdown.split(f"### {heading}\n\n", 1)[1].split("\n\n", 1)[0]
    lines = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in body.splitlines()]
    return {line[0]: line[1:] for line in lines if not line[0].startswith("---")}


def test_csv_reads_back(tmp_path: Path) -> None:
    run = load(rows.write(tmp_path, FAILING))
    text = tables.csv(run.frame)
    back = pd.read_csv(io.StringIO(text), keep_default_na=False, dtype=str)
    assert list(back.columns) == list(run.frame.columns)
    failed = back[back["status"] != "passed"]
    assert len(failed) == 8
    assert (failed[["time_ns", "peak_bytes", "flops", "speedup", "prepare_ns"]] == "").all(axis=None)
    passed = back[back["status"] == "passed"]
    assert passed["peak_bytes"].str.fullmatch(r"\d+").all()
    assert passed["time_ns"].astype(float).tolist() == run.frame["time_ns"].dropna().tolist()
    assert "nan" not in text.lower().replace("nanoseconds", "")


def test_the_first_table_is_like_long_range_arenas(tmp_path: Path) -> None:
    markdown = tables.markdown(load(rows.write(tmp_path, EXACT)))
    speed = cells(markdown, "forward, float32, cpu: calls per second (times full/sdpa)")
    assert speed[""] == ["N = 256", "N = 512", "N = 1024", "N = 2048"]
    others = [f"{each} ±<0.1% (1.00x)" for each in ("2,000", "500.0", "125.0")]
    assert speed["full/sdpa"] == ["**8,000 ±<0.1% (1.00x)**", *others]
    assert speed["local_window(window=129)/blockwise"][-1] == "**625.0 ±<0.1% (5.00x)**"
    memory = cells(markdown, "forward, float32, cpu: peak memory (fraction of full/sdpa)")
    assert memory["local_window(window=129)/blockwise"][-2:] == ["16.0 MiB (2.00)", "N^1.00"]
    grown = cells(markdown, "forward, float32, cpu: growth")
    assert grown["full/sdpa"][:3] == ["N^2.00 (2.00 to 2.00)", "256 to 2048", "the baseline"]
    assert grown["local_window(window=129)/blockwise"][2] == "from N = 410 (410 to 410)"
    assert memory["full/sdpa"][-1] == "N^1.00"
    work = cells(markdown, "forward, float32, cpu: work at N = 2048")
    assert work["local_window(window=129)/blockwise"][4:6] == ["16.1x", "31%"]
    assert "Every case passed." in markdown


def test_implementations_of_a_variant_are_compared(tmp_path: Path) -> None:
    eager, native = (
        rows.Series("bigbird", each, {"block": 32}, time) for each, time in (("eager", 4e6), ("native", 1e6))
    )
    sdpa, dense = (
        rows.FULL,
        rows.Series("full", "eager", at_1024_ns=rows.FULL.at_1024_ns * 2, exponent=rows.FULL.exponent),
    )
    plan = rows.Plan((sdpa, dense, eager, native), (1024, 2048), process_sd=0.01)
    run = load(rows.write(tmp_path / "all", plan))
    (results,) = run.results
    assert [(each.label, each.seq_len, each.implementation, each.following) for each in results.implementations] == [
        ("full", 1024, "sdpa", "eager"),
        ("full", 2048, "sdpa", "eager"),
        ("bigbird(block=32)", 1024, "native", "eager"),
        ("bigbird(block=32)", 2048, "native", "eager"),
    ]
    assert [round(math.exp(each.time.mean)) for each in results.implementations] == [2, 2, 4, 4]
    assert all(each.is_shown for each in results.implementations)
    assert tables.implementations(results).count("**native**; eager ") == 2
    few = load(rows.write(tmp_path / "few", replace(plan, processes=2)))
    assert not any(each.is_shown for each in few.results[0].implementations)
    assert "**" not in tables.implementations(few.results[0])
    one = load(rows.write(tmp_path / "one", replace(plan, series=(sdpa, native))))
    assert not one.results[0].implementations


def test_what_goes_before_the_first_value_has_columns_of_its_own(tmp_path: Path) -> None:
    flex = replace(FAST, implementation="flex", compile_ns=2_600_000_000)
    gone = replace(FAST, implementation="eager", endings={2048: rows.OOM})
    run = load(rows.write(tmp_path, replace(EXACT, series=(rows.FULL, flex, gone))))
    before = cells(tables.markdown(run), "forward, float32, cpu: before the first value at N = 2048")
    assert before[""] == ["preparation", "held", "compilation", "first call"]
    assert before["full/sdpa"] == ["120 µs", "4.00 KiB", "-", "10 ms"]
    assert before["local_window(window=129)/flex"] == ["120 µs", "4.00 KiB", "2.6 s (cached)", "10 ms"]
    assert before["local_window(window=129)/eager"] == ["OOM", "", "", ""]
    told = run.frame[run.frame["seq_len"] == 2048].set_index("implementation")
    assert (told.at["flex", "compile_ns"], told.at["flex", "compile_cached"]) == (2_600_000_000, True)
    assert told[told.index != "flex"]["compile_ns"].isna().all()
    assert told.at["flex", "time_ns"] == pytest.approx(1.6e6), "no time of a call has it"


def test_cells_say_how_a_case_ended(tmp_path: Path) -> None:
    run = load(rows.write(tmp_path, FAILING))
    markdown = tables.markdown(run)
    speed = cells(markdown, "training, float32, cpu: calls per second (times full/sdpa)")
    assert speed["full/sdpa"][3] == "TIME-OUT"
    assert speed["local_window(window=129)/blockwise"][0] == "WRONG"
    assert speed["local_window(window=129)/sdpa_masked"][2:] == ["OOM", "skipped"]
    assert cells(markdown, "What did not pass")["out_of_memory"] == [
        "2",
        rows.OOM[1],
        "local_window(window=129)/sdpa_masked at N = 1024 (forward, training)",
    ]


def test_crossovers_by_threads_stand_side_by_side(tmp_path: Path) -> None:
    plan = replace(EXACT, series=(replace(rows.FULL, parallel=1.0), replace(FAST, parallel=0.5)), threads=(1, 2))
    run = load(rows.write(tmp_path / "moved", plan))
    found = cells(tables.markdown(run), "forward, float32, cpu: faster than full/sdpa, by threads")
    assert found == {
        "": ["1 thread", "2 threads"],
        "local_window(window=129)/blockwise": ["from N = 410 (410 to 410)", "from N = 579 (579 to 579)"],
    }
    assert answer(run)[1] == "With 2 threads instead of 1, the crossover of local_window is at a longer length."
    still = replace(plan, series=(rows.FULL, FAST), process_sd=0.02)
    told = "With 2 threads instead of 1, no crossover is shown to be at another length."
    assert told in answer(load(rows.write(tmp_path / "still", still)))
    for number, each in enumerate((replace(plan, threads=(2,)), replace(plan, lengths=(512,)))):
        assert ", by threads" not in tables.markdown(load(rows.write(tmp_path / str(number), each)))


def test_all_unsupported(tmp_path: Path) -> None:
    gone = dict.fromkeys((512, 1024), (Status.UNSUPPORTED, "no CUDA device"))
    plan = rows.Plan((replace(rows.FULL, endings=gone),), (512, 1024), devices=("cuda",))
    run = load(rows.write(tmp_path, plan))
    markdown = tables.markdown(run)
    assert markdown.startswith(tables.NOTHING)
    assert cells(markdown, "What did not pass")["unsupported"] == ["2", "no CUDA device", "every case on cuda"]
    assert answer(run) == ["No case passed: 2 unsupported."]
    lines = ["0 of 2 cases passed.", "Did not pass: 2 unsupported. Most: no CUDA device."]
    assert outcomes.lines(run.outcomes) == lines


def test_reasons_cannot_break_the_table(tmp_path: Path) -> None:
    reason = "line one\n| a | `b` <script>alert(1)</script> **bold** __init__ \x1b[31mred [x](y) a_b"
    plan = rows.Plan((replace(rows.FULL, endings={512: (Status.FAILED, reason)}),), (512, 1024))
    found = tables.markdown(load(rows.write(tmp_path, plan)))
    line = next(line for line in found.splitlines() if line.startswith("| failed"))
    assert line == (
        r"| failed | 1 | line one \| a \| \`b\` &lt;script&gt;alert(1)&lt;/script&gt; \*\*bold\*\* \_\_init\_\_ "
        r"red \[x\](y) a_b | full/sdpa at N = 512 |"
    )


def test_nobody_is_called_by_a_reason() -> None:
    told = escape.text("decorated with @torch.compile, see #12 and a@b, not # 3 or @ all")
    assert told == "decorated with @<!-- -->torch.compile, see #<!-- -->12 and a@<!-- -->b, not # 3 or @ all"


@pytest.mark.parametrize("body", ["plain", "a ``` b", "`````\n```", ""])
def test_a_fence_is_longer_than_what_it_holds(body: str) -> None:
    first, *middle, last = escape.fenced(body, "yaml").split("\n")
    assert first == last + "yaml"
    assert set(last) == {"`"}
    assert "\n".join(middle) == body
    assert last not in body


def test_long_reasons_are_cut() -> None:
    assert len(escape.text("x" * 9999)) == 400
    assert escape.text("x" * 9999, longest=None) == "x" * 9999


@pytest.mark.parametrize(
    ("value", "low", "high", "expected"),
    [
        (812.3, 796, 828, "810"),
        (812.3, 811, 814, "812"),
        (0.012345, 0.0122, 0.0125, "0.0123"),
        (0.97, 0.86, 1.08, "1.0"),
        (12345.6, 12300, 12400, "12,350"),
        (5.0, 1.0, 25.0, "5.0"),
        (3.14159, 3.14159, 3.14159, "3.142"),
        (812.3, float("nan"), float("nan"), "810"),
    ],
)
def test_no_more_digits_than_the_interval_bears_out(value: float, low: float, high: float, expected: str) -> None:
    assert units.honest(value, low, high) == expected


def test_a_number_has_the_digits_of_its_interval() -> None:
    chance = random.Random(0)
    for _ in range(2000):
        value, width = 10 ** chance.uniform(-2, 3), chance.uniform(1e-4, 1)
        numbers = value, value / (1 + width), value * (1 + width)
        told = [each.strip("(").strip(")") for each in units.interval(*numbers).replace(",", "").split(" to ")]
        written = [each for part in told for each in part.split(" (")]
        assert len({len(each.partition(".")[2]) for each in written}) == 1, written
        assert units.honest(*numbers).replace(",", "") == written[0]


def test_units() -> None:
    assert units.time(1234.0) == "1.2 µs"
    assert units.time(3.1e6, 3.0e6, 3.2e6) == "3.1 ms"
    assert units.time(2.5e9, 2.499e9, 2.501e9) == "2.500 s"
    assert units.time(17.0, 16.9, 17.1) == "17.0 ns"
    assert [units.size(each) for each in (0, 512, 4851712, 2**34)] == ["0 B", "512 B", "4.63 MiB", "16.0 GiB"]
    assert [units.length(each) for each in (512, 1000, 2048, 3000, 2**20)] == ["512", "1000", "2K", "3000", "1M"]
    assert units.spread(0.98, 1.02) == "±2.0%"
    assert units.interval(742.1, 664.3, 831.9) == "740 (660 to 830)"
    assert units.interval(1.046, 1.043, 1.049, "x") == "1.046x (1.043 to 1.049)"
    assert units.interval(1.3, 1.02, 1.6) == "1.30 (1.02 to 1.60)", "an end above 1 does not read as 1"
    assert units.interval(0.94, 0.882, 1.003, "x") == "0.940x (0.882 to 1.003)"
    assert units.interval(3, 2.999999, 3.000001) == "3.000 (3.000 to 3.000)"
    assert units.interval(2.84, 0.2, 40.3) == "2.8 (0.20 to 40)", "as many digits each"
    assert units.interval(3.63, 1.03, 12.79) == "3.63 (1.03 to 12.8)"
    assert units.interval(1.26, math.nan, math.nan, "x") == "1.3x"
    assert units.linear_spread(10, 5, 15) == "±50%"
    assert units.spread(1 / 2.9, 2.9) == "(0.3 to 2.9 times)"
    assert units.spread(1 / 4.1, 4.1) == "(0.24 to 4.1 times)"
    assert units.linear_spread(10, -5, 25) == "(-0.5 to 2.5 times)"
    assert [units.change(each) for each in (0.05, 0.0213, 85.97, math.nan)] == ["5%", "2.1%", "8,600%", ""]
    assert [units.percent(share) for share in (0.61, 0.034, 0.0033, 0.0)] == ["61%", "3%", "0.3%", "0%"]
    assert [units.percent(share, 0.004) for share in (0.61, 0.004)] == ["61.0%", "0.4%"]


FLOOR = rows.Series("identity", "own", at_1024_ns=1e4, exponent=0.5, bytes_at_1024=2**19)
LAYERS = replace(EXACT, series=(rows.FULL, FAST, FLOOR), level="layer")


def test_the_floor_is_named_as_the_floor_and_wins_nothing(tmp_path: Path) -> None:
    run = load(rows.write(tmp_path, LAYERS))
    markdown = tables.markdown(run)
    assert "identity" not in " ".join(answer(run))
    assert (
        "The floor, a layer without mixing (identity/own), takes 0.2% (0.2% to 0.2%) of the time of full/sdpa at "
        "N = 2048 and 12% of its peak memory."
    ) in markdown
    speed = cells(markdown, "forward, float32, cpu, layer: calls per second (times full/sdpa)")
    assert speed["identity/own"][-1] == "70,710 ±<0.1% (566x)", "it has its numbers, and is not the best"
    assert cells(markdown, "forward, float32, cpu, layer: growth")["identity/own"][2] == "does not mix tokens"


def test_a_run_of_the_floor_alone_has_no_winner(tmp_path: Path) -> None:
    run = load(rows.write(tmp_path, replace(LAYERS, series=(FLOOR,), baseline=None)))
    assert answer(run) == ["Only layers that do not mix tokens passed, so nothing is compared."]


def test_tokens_of_a_call_over_its_time(tmp_path: Path) -> None:
    run = load(rows.write(tmp_path, replace(EXACT, directions=("forward", "training"))))
    at = run.frame[(run.frame["seq_len"] == 2048) & (run.frame["label"] == "full")].set_index("direction")
    assert at.at["forward", "tokens_per_s"] == pytest.approx(2048 / 8e-3)
    assert at.at["training", "tokens_per_s"] == pytest.approx(2048 / 24e-3)
    work = cells(tables.markdown(run), "forward, float32, cpu: work at N = 2048")
    assert (work[""][-1], work["full/sdpa"][-1]) == ("tokens/s", "260,000")


def test_a_call_that_decodes_has_one_token_for_each_sequence() -> None:
    frame = pd.DataFrame({"direction": ["forward", "decode"], "batch": [4, 4], "seq_len": [512, 512]})
    assert call_tokens(frame).tolist() == [512, 1]


def test_what_does_not_grow_as_its_stated_cost_is_named(tmp_path: Path) -> None:
    """The FLOPs of `linear` grow as N. One series is dominated by fixed costs, another one by something quadratic."""
    quick, heavy = (
        rows.Series("linear", "own", {"causal": causal}, exponent=exponent)
        for causal, exponent in ((False, 0.7), (True, 1.6))
    )
    run = load(rows.write(tmp_path, replace(EXACT, series=(rows.FULL, quick, heavy))))
    grown = cells(tables.markdown(run), "forward, float32, cpu: growth")
    assert grown[""][-3:] == ["over the last two octaves", "stated cost there", "GFLOP/s there"]
    assert grown["full/sdpa"][-3:] == ["N^2.00", "N^2.00, as stated", "1,100 to 1,100"]
    assert grown["linear/own"][-3:-1] == ["N^0.70", "N^1.00, more slowly"]
    assert grown["linear(causal=true)/own"][-3:-1] == ["N^1.60", "N^1.00, faster"]
    rate = run.frame[(run.frame["label"] == "linear") & (run.frame["seq_len"] >= 512)]["flops_per_s"] / 1e9
    row = next(row for name, row in run.results[0].growth if name == "linear/own")
    assert (row["cost_from"], row["cost_to"]) == (512, 2048)
    assert [row["rate_from"], row["rate_to"]] == pytest.approx([rate.iloc[0], rate.iloc[-1]])


def test_errors_against_full_attention_are_told(tmp_path: Path) -> None:
    near = rows.Series("topk", "own", error_vs_full=0.25)
    exact, far = replace(rows.FULL, error_vs_full=0.0), replace(FAST, error_vs_full=0.88)
    plan = replace(EXACT, series=(exact, far, near))
    keys = {each.key for series, each in rows.cases(plan) if series is near}
    told = [replace(row, ties=1234) if isinstance(row, Probe) and row.case in keys else row for row in rows.rows(plan)]
    markdown = tables.markdown(load(rows.write_rows(tmp_path, rows.meta(plan), told)))
    errors = cells(markdown, "forward, float32, cpu: error against full attention at N = 2048")
    assert list(errors) == ["", "topk/own", "local_window(window=129)/blockwise"], "the smallest first, full itself not"
    assert errors["topk/own"] == ["0.25", "0.9", "yes", "1,234"]
    assert errors["local_window(window=129)/blockwise"] == ["0.88", "0.9", "hardly", "-"]
