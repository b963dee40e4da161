"""Tables and the answer in words, on runs whose truth is known."""

import io
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import rows
from rich.console import Console

from attnbench.reports.data.run import load
from attnbench.reports.data.settings import call_tokens
from attnbench.reports.tables import tables
from attnbench.reports.text import escape, units
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
    assert speed["full/sdpa"] == ["8,000 (1.00x)", "2,000 (1.00x)", "500.0 (1.00x)", "125.0 (1.00x)"]
    assert speed["local_window(window=129)/blockwise"][-1] == "625.0 (5.00x)"
    memory = cells(markdown, "forward, float32, cpu: peak memory (fraction of full/sdpa)")
    assert memory["local_window(window=129)/blockwise"][-1] == "16.0 MiB (2.0)"
    grown = cells(markdown, "forward, float32, cpu: growth")
    assert grown["full/sdpa"][:3] == ["N^2.00 [2.00, 2.00]", "N^1.00", "256 to 2048"]
    assert grown["local_window(window=129)/blockwise"][3].startswith("from N = 409.6")
    work = cells(markdown, "forward, float32, cpu: work at N = 2048")
    assert work["local_window(window=129)/blockwise"][5:8] == ["16.1x", "5.00x", "31%"]
    assert "Every case passed." in markdown


def test_what_goes_before_the_first_value_has_columns_of_its_own(tmp_path: Path) -> None:
    flex = replace(FAST, implementation="flex", compile_ns=2_600_000_000)
    gone = replace(FAST, implementation="eager", endings={2048: rows.OOM})
    run = load(rows.write(tmp_path, replace(EXACT, series=(rows.FULL, flex, gone))))
    before = cells(tables.markdown(run), "forward, float32, cpu: before the first value at N = 2048")
    assert before[""] == ["preparation", "held", "compilation", "first call"]
    assert before["full/sdpa"] == ["120 us", "4.00 KiB", "-", "10 ms"]
    assert before["local_window(window=129)/flex"] == ["120 us", "4.00 KiB", "2.6 s (cached)", "10 ms"]
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


def test_all_unsupported(tmp_path: Path) -> None:
    gone = dict.fromkeys((512, 1024), (Status.UNSUPPORTED, "no CUDA device"))
    plan = rows.Plan((replace(rows.FULL, endings=gone),), (512, 1024), devices=("cuda",))
    run = load(rows.write(tmp_path, plan))
    markdown = tables.markdown(run)
    assert markdown.startswith(tables.NOTHING)
    assert cells(markdown, "What did not pass")["unsupported"] == ["2", "no CUDA device", "every case on cuda"]
    assert answer(run) == ["0 of 2 cases passed.", "unsupported (no CUDA device): every case on cuda."]


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
        (5.0, 1.0, 25.0, "5"),
        (3.14159, 3.14159, 3.14159, "3.142"),
        (812.3, float("nan"), float("nan"), "810"),
    ],
)
def test_no_more_digits_than_the_interval_bears_out(value: float, low: float, high: float, expected: str) -> None:
    assert units.honest(value, low, high) == expected


def test_units() -> None:
    assert units.time(1234.0) == "1.2 us"
    assert units.time(3.1e6, 3.0e6, 3.2e6) == "3.1 ms"
    assert units.time(2.5e9, 2.499e9, 2.501e9) == "2.500 s"
    assert units.time(17.0, 16.9, 17.1) == "17.0 ns"
    assert [units.size(each) for each in (0, 512, 4851712, 2**34)] == ["0 B", "512 B", "4.63 MiB", "16.0 GiB"]
    assert [units.length(each) for each in (512, 1000, 2048, 3000, 2**20)] == ["512", "1000", "2K", "3000", "1M"]
    assert units.spread(0.98, 1.02) == "±2.0%"
    assert units.bounds(664.3, 831.9) == "[660, 830]"
    assert units.bounds(1.043, 1.049) == "[1.043, 1.049]"
    assert units.honest(1.046, 1.043, 1.049) == "1.046"
    assert units.bounds(0.999999, 1.000001) == "[1.000, 1.000]", "no more digits than `honest` gives the value"
    assert units.linear_spread(10, 5, 15) == "±50%"
    assert [units.percent(share) for share in (0.61, 0.034, 0.0033, 0.0)] == ["61%", "3%", "0.3%", "0%"]


def test_the_terminals_colours(tmp_path: Path) -> None:
    run = load(rows.write(tmp_path, FAILING))
    shown = io.StringIO()
    console = Console(width=140, force_terminal=True, color_system="standard", file=shown)
    console.print(tables.terminal(run))
    text = re.sub(" +", " ", shown.getvalue())
    assert "\x1b[33m TIME-OUT\x1b[0m" in text
    assert re.search(r"\x1b\[32m2\.\d+x", text)
    assert re.search(r"\x1b\[31m0\.\d+x", text)
    assert "\x1b[2m1.00x" in text
    assert "N = 2048" in text


def test_an_answer_that_is_true(tmp_path: Path) -> None:
    told = answer(load(rows.write(tmp_path, EXACT)))
    assert told == [
        "forward, float32, cpu: faster than full: local_window(window=129) from N = 409.6 [409.6, 409.6].",
        "forward, float32, cpu: fastest from N = 512 on is local_window(window=129), 1.600 ms a call at N = 2048, "
        "5.000x [5.000, 5.000] the speed of full.",
        "forward, float32, cpu: time grows as N^2.00 [2.00, 2.00] for full and N^1.00 [1.00, 1.00] for "
        "local_window(window=129).",
        "forward, float32, cpu: peak memory at N = 2048 is 8.00 MiB for full; more for local_window(window=129) "
        "(2.0 times); memory grows as N^1.00.",
        "forward, float32, cpu: of the speed-up that the saved work allows at N = 2048, "
        "31% (local_window(window=129)) was realised.",
        "8 of 8 cases passed; brackets hold 95 % intervals over 5 processes.",
    ]


def test_an_answer_at_one_length(tmp_path: Path) -> None:
    """Of one length no growth is told; of many series how many are faster, and the ends."""
    patterns: tuple[tuple[str, dict[str, int]], ...] = (
        ("local_window", {"window": 33}),
        ("truncated", {"left": 9, "right": 9}),
        ("bigbird", {}),
        ("block_local", {"block": 64}),
        ("strided", {"stride": 32}),
        ("fixed", {}),
        ("longformer", {"window": 65}),
    )
    found = [
        rows.Series(name, "blockwise", parameters, at_1024_ns=1e6 * place)
        for place, (name, parameters) in enumerate(patterns, 1)
    ]
    slower = rows.Series("longformer", "blockwise", {"window": 129}, at_1024_ns=4e6)
    plan = replace(EXACT, series=(rows.FULL, found[0], slower), lengths=(1024,))
    told = answer(load(rows.write(tmp_path / "few", plan)))
    head = "forward, float32, cpu: at N = 1024, against full, faster: local_window(window=33)"
    assert told[0] == f"{head} (2.00x); slower: longformer(window=129) (0.500x)."
    many = load(rows.write(tmp_path / "many", replace(plan, series=(replace(rows.FULL, at_1024_ns=1e7), *found))))
    assert answer(many)[0] == (
        "forward, float32, cpu: at N = 1024, against full, faster: 7, from local_window(window=33) (10.0x) to "
        "longformer(window=65) (1.43x)."
    )
    assert not any("grows" in each for each in answer(many))
    assert "growth" not in tables.markdown(many)
    few = replace(plan, processes=2)
    none = load(rows.write(tmp_path / "none", replace(plan, series=(rows.FULL, slower))))
    assert (
        answer(none)[0] == "forward, float32, cpu: at N = 1024, against full, slower: longformer(window=129) (0.500x)."
    )
    assert "at N = 1024, against" not in "\n".join(answer(load(rows.write(tmp_path / "short", few))))


def test_an_answer_that_cannot_tell(tmp_path: Path) -> None:
    twin = replace(rows.FULL, variant="truncated", parameters={"left": 512, "right": 512}, implementation="blockwise")
    plan = rows.Plan((rows.FULL, twin), (256, 512, 1024), process_sd=0.1, processes=7)
    told = "\n".join(answer(load(rows.write(tmp_path, plan))))
    assert "not distinguishable from it: " in told
    assert "not distinguishable from it at N = 1024: truncated(left=512, right=512)" in told
    assert re.search(r"unclear: .* in \d of 7 processes", told)


def test_an_answer_without_intervals(tmp_path: Path) -> None:
    told = "\n".join(answer(load(rows.write(tmp_path, replace(EXACT, processes=2)))))
    assert "too few processes (2) to say what differs" in told
    assert "[" not in told
    assert "faster than" not in told


def test_an_answer_says_what_did_not_pass_and_why(tmp_path: Path) -> None:
    told = answer(load(rows.write(tmp_path, FAILING)))
    assert "16 of 24 cases passed" in told[-5]
    where = "(forward, training)"
    assert told[-4:] == [
        f"wrong (off by 0.1): local_window(window=129)/blockwise at N = 256 {where}.",
        f"out_of_memory ({rows.OOM[1]}): local_window(window=129)/sdpa_masked at N = 1024 {where}.",
        f"timed_out ({rows.TIMED_OUT[1]}): full at N = 2048 {where}.",
        f"skipped ({rows.SKIPPED[1]}): local_window(window=129)/sdpa_masked at N = 2048 {where}.",
    ]


FLOOR = rows.Series("identity", "own", at_1024_ns=1e4, exponent=0.5, bytes_at_1024=2**19)
LAYERS = replace(EXACT, series=(rows.FULL, FAST, FLOOR), level="layer")


def test_the_floor_is_named_as_the_floor_and_wins_nothing(tmp_path: Path) -> None:
    told = answer(load(rows.write(tmp_path, LAYERS)))
    head = "forward, float32, cpu, layer:"
    assert told[:4] == [
        f"{head} faster than full: local_window(window=129) from N = 409.6 [409.6, 409.6].",
        f"{head} fastest from N = 512 on is local_window(window=129), 1.600 ms a call at N = 2048, "
        "5.000x [5.000, 5.000] the speed of full.",
        f"{head} the floor, a layer without mixing (identity), takes 0.2% [0.2%, 0.2%] of the time of full at N = 2048 "
        "and 12% of its peak memory.",
        f"{head} time grows as N^2.00 [2.00, 2.00] for full and N^1.00 [1.00, 1.00] for local_window(window=129).",
    ]
    assert told[4].startswith(f"{head} peak memory at N = 2048 is 8.00 MiB for full; more for local_window")
    assert "identity" not in " ".join(told[3:])


def test_the_floor_is_in_no_ranking(tmp_path: Path) -> None:
    at_one = load(rows.write(tmp_path / "one", replace(LAYERS, lengths=(1024,), directions=("forward", "training"))))
    told = [each for each in answer(at_one) if "identity" in each]
    assert len(told) == 2, told
    assert all("the floor, a layer without mixing (identity)" in each for each in told)
    markdown = tables.markdown(load(rows.write(tmp_path / "many", LAYERS)))
    speed = cells(markdown, "forward, float32, cpu, layer: calls per second (times full/sdpa)")
    assert speed["identity/own"][-1] == "70,710 (566x)", "it has its numbers"
    assert cells(markdown, "forward, float32, cpu, layer: growth")["identity/own"][3] == "-"


def test_a_run_of_the_floor_alone_has_no_winner(tmp_path: Path) -> None:
    run = load(rows.write(tmp_path, replace(LAYERS, series=(FLOOR,), baseline=None)))
    assert answer(run) == ["4 of 4 cases passed; brackets hold 95 % intervals over 5 processes."]


def test_tokens_of_a_call_over_its_time(tmp_path: Path) -> None:
    run = load(rows.write(tmp_path, replace(EXACT, directions=("forward", "training"))))
    at = run.frame[(run.frame["seq_len"] == 2048) & (run.frame["label"] == "full")].set_index("direction")
    assert at.at["forward", "tokens_per_s"] == pytest.approx(2048 / 8e-3)
    assert at.at["training", "tokens_per_s"] == pytest.approx(2048 / 24e-3)
    work = cells(tables.markdown(run), "forward, float32, cpu: work at N = 2048")
    assert (work[""][-2:], work["full/sdpa"][-2:]) == (["tokens/s", "ties"], ["260,000", "-"])


def test_a_call_that_decodes_has_one_token_for_each_sequence() -> None:
    frame = pd.DataFrame({"direction": ["forward", "decode"], "batch": [4, 4], "seq_len": [512, 512]})
    assert call_tokens(frame).tolist() == [512, 1]


def test_what_does_not_grow_as_its_stated_cost_is_named(tmp_path: Path) -> None:
    """The FLOPs of `linear` grow as N. One series is dominated by fixed costs, another one by something quadratic."""
    quick, heavy, true = (
        rows.Series("linear", "own", {"causal": causal}, exponent=exponent)
        for causal, exponent in ((False, 0.7), (True, 1.6), (False, 1.1))
    )
    run = load(rows.write(tmp_path, replace(EXACT, series=(rows.FULL, quick, heavy))))
    assert (
        "forward, float32, cpu: over the longest two octaves, time grows as the stated cost (within 0.15) for 1 of 3; "
        "more slowly, as GFLOP/s still rise, for linear (N^0.70, cost N^1.00); faster, as GFLOP/s fall, for "
        "linear(causal=true) (N^1.60, cost N^1.00)."
    ) in answer(run)
    grown = cells(tables.markdown(run), "forward, float32, cpu: growth")
    assert grown[""][-3:] == ["time, last two octaves", "stated cost there", "GFLOP/s there"]
    assert grown["full/sdpa"][-3:] == ["N^2.00", "N^2.00", "1,100 to 1,100"]
    assert grown["linear/own"][-3:-1] == ["N^0.70", "N^1.00"]
    rate = run.frame[(run.frame["label"] == "linear") & (run.frame["seq_len"] >= 512)]["flops_per_s"] / 1e9
    row = next(row for name, row in run.results[0].growth if name == "linear/own")
    assert (row["cost_from"], row["cost_to"]) == (512, 2048)
    assert [row["rate_from"], row["rate_to"]] == pytest.approx([rate.iloc[0], rate.iloc[-1]])
    agreeing = load(rows.write(tmp_path / "agreeing", replace(EXACT, series=(rows.FULL, true))))
    assert "stated cost" not in " ".join(answer(agreeing))


def test_errors_against_full_attention_are_told(tmp_path: Path) -> None:
    near = rows.Series("linear", "own", error_vs_full=0.25)
    exact, far = replace(rows.FULL, error_vs_full=0.0), replace(FAST, error_vs_full=0.88)
    told = answer(load(rows.write(tmp_path, replace(EXACT, series=(exact, far, near)))))
    assert (
        "forward, float32, cpu: error against full attention at N = 2048 is 0.25 for linear and 0.88 for "
        "local_window(window=129); hardly better than the mean of all values: local_window(window=129)."
    ) in told


def test_ties_are_in_the_table_and_in_the_answer(tmp_path: Path) -> None:
    chosen = rows.Series("topk", "own", error_vs_full=0.18)
    plan = replace(EXACT, series=(rows.FULL, chosen))
    keys = {each.key for series, each in rows.cases(plan) if series is chosen}
    told = [replace(row, ties=1234) if isinstance(row, Probe) and row.case in keys else row for row in rows.rows(plan)]
    run = load(rows.write_rows(tmp_path, rows.meta(plan), told))
    work = cells(tables.markdown(run), "forward, float32, cpu: work at N = 2048")
    assert (work["topk/own"][-1], work["full/sdpa"][-1]) == ("1,234", "-")
    assert (
        "forward, float32, cpu: error against full attention at N = 2048 is 0.18 for topk; the choice is not unique in "
        "1,234 rows of topk."
    ) in answer(run)
