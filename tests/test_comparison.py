"""Two runs compared, and one with itself: verdicts from synthetic runs with a known truth."""

import io
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from commands import bench
from rich.console import Console
from rows import FULL, LOCAL, OOM, QUIET, Plan, Series
from rows import write_on as run

from attnbench.reports.compare import forms, page, tables
from attnbench.reports.compare.answer import answer, notes, nothing
from attnbench.reports.compare.between_runs import compare
from attnbench.reports.compare.comparison import COLUMNS, Comparison
from attnbench.reports.compare.figures import overlay, ratios
from attnbench.reports.compare.gate import STRICT, held
from attnbench.reports.compare.within_run import within
from attnbench.reports.decision.decide import Rule, judge
from attnbench.reports.decision.pairs import unpaired
from attnbench.reports.decision.power import detectable_at_once
from attnbench.reports.findings.run import load
from attnbench.reports.text import escape, units
from attnbench.runner.cli import main
from attnbench.suites import Status
from attnbench.suites.schema.limits import Check, TimeLimit


def compared(
    tmp_path: Path, b: Plan, a: Plan = QUIET, *, across_machines: bool = False, **environment: Any
) -> Comparison:
    """B compared with A; `environment` is what B's machine has otherwise."""
    folders = run(tmp_path / "a", a), run(tmp_path / "b", replace(b, seed=1), **environment)
    first, second = map(load, folders)
    return compare(first, second, across_machines=across_machines)


def slower(series: Series, factor: float) -> Series:
    return replace(series, at_1024_ns=series.at_1024_ns * factor)


def verdicts(found: Comparison, label: str) -> set[str]:
    part = found.frame[found.frame["label"].str.startswith(label)]
    return set(part["verdict"])


def test_equal_runs_are_unchanged(tmp_path: Path) -> None:
    found = compared(tmp_path, QUIET)
    assert set(found.frame["verdict"]) == {"unchanged"}
    assert set(found.frame["memory"]) == set(found.frame["work"]) == set(found.frame["error"]) == {"unchanged"}
    assert found.frame["ratio"].between(0.98, 1.02).all()
    assert list(found.frame.columns) == list(COLUMNS)


def test_a_slower_series_is_called_and_no_other(tmp_path: Path) -> None:
    found = compared(tmp_path, replace(QUIET, series=(FULL, slower(LOCAL, 1.10))))
    assert verdicts(found, "local_window") == {"regressed"}
    assert verdicts(found, "full") == {"unchanged"}
    row = found.worst_first.iloc[0]
    assert row["low"] < 1.10 < row["high"]
    assert row["label"].startswith("local_window")
    assert 0.0 < row["minimum_detectable"] < 0.05


RUINED = replace(
    QUIET,
    series=(
        slower(FULL, 0.7),
        replace(slower(LOCAL, 1.3), bytes_at_1024=2**25, waste=1.5, endings={2048: OOM, 4096: (Status.WRONG, "off")}),
    ),
    lengths=(512, 1024, 2048, 4096),
)


@pytest.mark.parametrize(
    ("a", "b", "environment"),
    [
        pytest.param(QUIET, QUIET, {}, id="equal"),
        pytest.param(replace(QUIET, lengths=RUINED.lengths), RUINED, {}, id="slower-faster-lost-and-larger"),
        pytest.param(replace(QUIET, process_sd=0.2), replace(QUIET, process_sd=0.2), {}, id="noisy"),
        pytest.param(QUIET, replace(QUIET, lengths=tuple(range(2048, 4096, 64))), {}, id="nothing-in-both"),
        pytest.param(
            replace(QUIET, lengths=tuple(range(512, 2048, 64)), directions=("forward", "training")),
            replace(RUINED, lengths=tuple(range(512, 2048, 64)), directions=("forward", "training")),
            {"cpu": "Another CPU " + "x" * 300, "torch": "9", "cores": 99, "gpu": "A GPU"},
            id="many-on-another-machine",
        ),
        pytest.param(
            replace(QUIET, lengths=tuple(range(512, 2048, 64)), directions=("forward", "training")),
            replace(RUINED, lengths=tuple(range(512, 2048, 64)), directions=("forward", "training")),
            {},
            id="many",
        ),
    ],
)
def test_the_first_screen_is_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, a: Plan, b: Plan, environment: dict[str, Any]
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    found = compared(tmp_path, b, a, **environment)
    assert len(answer(found)) <= 3
    assert found.compared == bool(answer(found)), "the headline says why nothing was compared"
    assert all(len(each.split()) <= 25 for each in [*answer(found), *nothing(found), *forms.sight(found)])
    _, output = bench("check", tmp_path / "b", "--baseline", tmp_path / "a")
    assert len(output.splitlines()) <= 40
    assert max(map(len, output.splitlines())) <= 100
    text = page.page(held(found, STRICT), [])
    first = text[: text.index("\n## ")]
    assert len([line for line in first.splitlines() if line.startswith("| ")]) <= 12, "ten cases below the header"
    named = [line.split(" | ")[2] for line in first.splitlines() if " | " in line][2:]
    every = text.partition("\n## All cases")[2]
    assert [name for name in named if name not in every] == []


def test_the_answer_says_what_is_worse_before_what_is_better(tmp_path: Path) -> None:
    fat = replace(slower(LOCAL, 1.3), bytes_at_1024=2**25)
    told = answer(compared(tmp_path, replace(QUIET, series=(slower(FULL, 0.7), fat))))
    assert [word in each for word, each in zip(("slower", "memory", "faster"), told, strict=True)] == [True] * 3


def test_what_fails_comes_first(tmp_path: Path) -> None:
    """Also before larger changes that the policy allows."""
    worse = replace(QUIET, series=(slower(FULL, 1.2), slower(LOCAL, 1.5)))
    found = compared(tmp_path, worse)
    wide = Check(time=TimeLimit(relative="100%", severity="fail"))
    labels = zip(found.frame["case"], found.frame["label"], strict=True)
    policies = {str(case): STRICT if label == "full" else wide for case, label in labels}
    assert list(found.worst_first["label"])[:2] == ["local_window(window=129)"] * 2
    assert list(held(found, policies).worst_first["label"])[:2] == ["full"] * 2


def test_a_faster_series_is_an_improvement(tmp_path: Path) -> None:
    assert verdicts(compared(tmp_path, replace(QUIET, series=(FULL, slower(LOCAL, 0.8)))), "local_window") == {
        "improved"
    }


def test_few_or_noisy_processes_are_inconclusive(tmp_path: Path) -> None:
    few = compared(tmp_path / "few", replace(QUIET, processes=2), replace(QUIET, processes=2))
    assert set(few.frame["verdict"]) == {"inconclusive"}
    assert "at least 3 processes" in few.frame["reason"].iloc[0]
    noisy = replace(QUIET, process_sd=0.2)
    assert set(compared(tmp_path / "noisy", noisy, noisy).frame["verdict"]) == {"inconclusive"}


def test_cases_come_go_and_end(tmp_path: Path) -> None:
    ends = replace(LOCAL, endings={1024: OOM})
    found = compared(tmp_path, replace(QUIET, series=(FULL, ends), lengths=(1024, 2048)))
    told = {(row["label"].split("(")[0], row["seq_len"]): row for _, row in found.frame.iterrows()}
    assert told["full", 512]["verdict"] == "missing"
    assert told["full", 2048]["verdict"] == "new"
    assert told["local_window", 1024]["verdict"] == "error"
    assert told["local_window", 1024]["reason"] == f"out_of_memory: {OOM[1]}"
    assert math.isnan(told["local_window", 1024]["ratio"])
    back = compare(load(tmp_path / "b"), load(tmp_path / "a"))
    again = {(row["label"].split("(")[0], row["seq_len"]): row for _, row in back.frame.iterrows()}
    assert again["local_window", 1024]["verdict"] == "new"
    assert again["full", 2048]["verdict"] == "missing"


def test_what_passed_in_neither_is_incomparable(tmp_path: Path) -> None:
    plan = replace(QUIET, series=(FULL, replace(LOCAL, endings={1024: OOM})))
    found = compared(tmp_path, plan, plan)
    row = found.frame[(found.frame["seq_len"] == 1024) & found.frame["label"].str.startswith("local")].iloc[0]
    assert row["verdict"] == "incomparable"
    assert row["reason"].startswith("passed in neither")


def test_what_is_new_and_at_fault_is_an_error(tmp_path: Path) -> None:
    """A kernel that a pull request adds must be right."""
    wrong = (Status.WRONG, "off by 0.1")
    alone = replace(QUIET, series=(FULL,))
    for ending, verdict in ((wrong, "error"), (OOM, "incomparable")):
        added = replace(QUIET, series=(FULL, replace(LOCAL, endings=dict.fromkeys((512, 1024), ending))))
        assert verdicts(compared(tmp_path / ending[0], added, alone), "local_window") == {verdict}
    absent = dict.fromkeys((512, 1024), (Status.UNSUPPORTED, "no module named mine"))
    before = replace(QUIET, series=(FULL, replace(LOCAL, endings=absent)))
    after = replace(QUIET, series=(FULL, replace(LOCAL, endings=dict.fromkeys((512, 1024), wrong))))
    assert verdicts(compared(tmp_path / "wrong", after, before), "local_window") == {"error"}


def test_memory_depends_on_what_a_case_uses(tmp_path: Path) -> None:
    """A GPU is nothing to a case on the CPU, nor the machine's own threads to one whose threads are told."""
    assert set(compared(tmp_path / "gpu", QUIET, gpu="Another GPU").frame["memory"]) == {"unchanged"}
    assert set(compared(tmp_path / "auto", QUIET, threads=64).frame["memory"]) == {"incomparable"}
    told = replace(QUIET, threads=(2,))
    assert set(compared(tmp_path / "told", told, told, threads=64).frame["memory"]) == {"unchanged"}
    cuda = replace(QUIET, devices=("cuda",))
    assert set(compared(tmp_path / "cuda", cuda, cuda, gpu="Another GPU").frame["memory"]) == {"incomparable"}


def test_a_drifting_run_is_unstable(tmp_path: Path) -> None:
    found = compared(tmp_path, replace(QUIET, drift=0.3))
    assert set(found.frame["verdict"]) == {"unstable"}
    assert set(found.frame["reason"]) == {"flagged drifting"}


def test_other_machines_are_incomparable_in_time_and_memory_but_not_in_work(tmp_path: Path) -> None:
    found = compared(tmp_path, QUIET, cpu="Another CPU", torch="2.14.0")
    assert set(found.frame["verdict"]) == set(found.frame["memory"]) == {"incomparable"}
    assert set(found.frame["work"]) == {"unchanged"}
    assert found.differences == {"cpu": ("Example CPU @ 2.10GHz", "Another CPU"), "torch": ("2.13.0", "2.14.0")}
    assert any("the machines differ in cpu: " in each for each in notes(found))
    assert "The machines differ in cpu and torch." in answer(found)
    assert not any("No time of" in each for each in answer(found)), "none was compared"


def test_a_run_of_two_commits_differs_as_a_run_and_not_by_its_machine(tmp_path: Path) -> None:
    a, b = run(tmp_path / "a", QUIET, commit="aaa"), run(tmp_path / "b", replace(QUIET, seed=1), commit="aaa")
    meta = json.loads((a / "run.json").read_text())
    later = meta["environment"] | {"commit": "bbb"}
    meta["resumed"] = [{"started": meta["started"], "processes": 10, "environment": later, "changed": {}}]
    (a / "run.json").write_text(json.dumps(meta))
    found = compare(load(a), load(b))
    assert set(found.frame["reason"]) == {"the runs differ"}
    assert found.how.startswith("The runs differ, so times are not compared")
    assert "the runs differ in commit: aaa, then bbb and aaa" in notes(found)
    assert "## The runs differ\n" in page.page(found, [])


def test_another_cpu_alone_leaves_memory_comparable(tmp_path: Path) -> None:
    assert set(compared(tmp_path, QUIET, cpu="Another CPU").frame["memory"]) == {"unchanged"}


def test_incomparable_memory_is_said_once_and_not_under_every_case(tmp_path: Path) -> None:
    found = compared(tmp_path, QUIET, torch="2.14.0")
    assert {row[tables.HEADER.index("memory")] for row in tables.rows(found)} == {"incomparable"}
    shown = io.StringIO()
    Console(file=shown, width=120).print(tables.terminal(found))
    assert "the machines differ" in shown.getvalue()
    assert "memory" not in shown.getvalue()


def test_a_clock_or_a_host_name_does_not_matter(tmp_path: Path) -> None:
    assert compared(tmp_path, QUIET, load=9.5, platform="elsewhere").differences == {}


def test_across_machines_ratios_to_the_baseline_are_compared(tmp_path: Path) -> None:
    all_slower = replace(QUIET, series=(slower(FULL, 3.0), slower(LOCAL, 3.3)))
    found = compared(tmp_path, all_slower, across_machines=True, cpu="Another CPU")
    assert verdicts(found, "full") == {"incomparable"}, "the baseline is 1 by itself: that says nothing"
    assert verdicts(found, "local_window") == {"regressed"}
    assert found.frame[found.frame["label"] != "full"]["ratio"].between(1.07, 1.13).all()
    assert "advice" in found.how


def test_across_machines_a_case_without_a_baseline_is_incomparable(tmp_path: Path) -> None:
    ended = replace(QUIET, series=(replace(FULL, endings={1024: OOM}), LOCAL))
    found = compared(tmp_path / "ended", ended, ended, across_machines=True, cpu="Another CPU")
    told = {(row["label"].split("(")[0], row["seq_len"]): row for _, row in found.frame.iterrows()}
    assert told["local_window", 512]["verdict"] == "unchanged"
    alone = told["local_window", 1024]
    assert (alone["verdict"], alone["reason"]) == ("incomparable", "no baseline passed beside it")
    assert told["full", 512]["reason"] == "it is what the others are compared with"
    none = replace(QUIET, baseline=None)
    one_side = compared(tmp_path / "one-side", QUIET, none, across_machines=True, cpu="Another CPU")
    assert verdicts(one_side, "local_window") == {"incomparable"}
    without = compared(tmp_path / "none", none, none, across_machines=True, cpu="Another CPU")
    assert set(without.frame["verdict"]) == {"incomparable"}
    assert set(without.frame["reason"]) == {"no baseline passed beside it"}


@pytest.mark.parametrize(("factor", "verdict"), [(1.5, "regressed"), (0.5, "improved")])
def test_memory_is_exact(tmp_path: Path, factor: float, verdict: str) -> None:
    more = replace(LOCAL, bytes_at_1024=LOCAL.bytes_at_1024 * factor)
    found = compared(tmp_path, replace(QUIET, series=(FULL, more)))
    part = found.frame[found.frame["label"] != "full"]
    assert set(part["memory"]) == {verdict}
    assert part["memory_ratio"].between(factor * 0.99, factor * 1.01).all()


def test_more_computed_pairs_are_worse_and_other_allowed_ones_always(tmp_path: Path) -> None:
    found = compared(tmp_path, replace(QUIET, series=(FULL, replace(LOCAL, waste=1.3))))
    assert set(found.frame[found.frame["label"] != "full"]["work"]) == {"regressed"}
    found.frame.loc[[0], "b_allowed_pairs"] -= 1
    from attnbench.reports.compare import metrics

    metrics.add(found.frame, same_memory=True)
    assert found.frame.loc[0, "work"] == "regressed"


def test_unpaired_is_welch() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 0.05, (1, 5)), rng.normal(0.1, 0.01, (1, 9))
    from scipy import stats

    expected = stats.ttest_ind(b[0], a[0], equal_var=False)
    found = unpaired(a, b)
    assert found.p_values()[0] == pytest.approx(expected.pvalue)
    assert found.freedom[0] == pytest.approx(expected.df)
    interval = expected.confidence_interval(0.95)
    assert (found.low[0], found.high[0]) == pytest.approx((interval.low, interval.high))


def test_a_false_call_is_rare(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)

    called = 0
    for _ in range(400):
        verdicts, _ = judge(unpaired(rng.normal(0, 0.05, (30, 5)), rng.normal(0, 0.05, (30, 5))), Rule())
        called += any(each in ("regressed", "improved") for each in verdicts)
    assert called / 400 < 0.07


@pytest.mark.parametrize(
    ("axis", "label", "against"),
    [
        ("variant", "local_window", "full/sdpa"),
        ("direction", "full", "full/sdpa forward"),
        ("implementation", "full", "full/sdpa"),
    ],
)
def test_one_run_is_compared_with_itself(tmp_path: Path, axis: Any, label: str, against: str) -> None:
    eager = Series("full", "eager", at_1024_ns=4e6, exponent=2.0)
    plan = replace(QUIET, series=(eager, FULL, LOCAL), directions=("forward", "training"))
    found = within(load(run(tmp_path / "run", plan)), axis)
    part = found.frame[found.frame["label"].str.startswith(label) & (found.frame["against"] == against)]
    assert len(part) > 0
    assert (part["case"] != "").all()
    if axis == "implementation":
        assert set(part["implementation"]) == {"eager"}
        assert part["ratio"].between(1.9, 2.1).all()
        assert set(part["verdict"]) == {"regressed"}
    if axis == "variant":
        assert (part["ratio"] < 1.05).all()
        assert set(part["work"]) == {"improved"}, "another pattern may allow fewer pairs"
    if axis == "direction":
        assert set(part["direction"]) == {"training"}
        assert part["ratio"].between(2.8, 3.2).all()


def test_a_ratio_is_called_what_it_is(tmp_path: Path) -> None:
    plain = compared(tmp_path / "plain", QUIET)
    across = compared(tmp_path / "across", QUIET, across_machines=True, cpu="Another CPU")
    alone = within(load(tmp_path / "plain" / "a"), "variant")
    for found, words in (
        (plain, "time of B over time of A"),
        (across, "time over that of the baseline in the same run, B over A"),
        (alone, "time of a case (B) over time of the one it is against (A)"),
    ):
        assert found.frame["ratio"].notna().sum() >= 2
        assert any("B takes" in each for each in notes(found)) == (found is plain)
        assert f"\n- **Ratio**: {words}, with its 95 % interval" in page.page(found, [])
        shown = [each.get_text() for each in ratios(found).texts]
        assert shown[0] == f"T{words[1:]}"
        assert shown[1].startswith("Cases of " if found is alone else "A: ")
        assert json.loads(tables.as_json(found))["ratio"] == words
    assert page.page(alone, []).startswith(f"# Cases of {escape.text(tmp_path / 'plain' / 'a')} against each other\n")


def test_what_regressed_in_anything_comes_first(tmp_path: Path) -> None:
    fat = replace(LOCAL, bytes_at_1024=LOCAL.bytes_at_1024 * 2)
    found = compared(tmp_path, replace(QUIET, series=(FULL, fat), process_sd=0.2))
    assert "inconclusive" in set(found.frame["verdict"])
    assert list(found.worst_first["memory"]) == ["regressed"] * 2 + ["unchanged"] * 2


@pytest.mark.parametrize("before", [OOM, (Status.SKIPPED, "too long"), (Status.UNSUPPORTED, "no such kernel")])
def test_a_fault_where_nothing_was_tried_before_is_an_error(tmp_path: Path, before: tuple[Status, str]) -> None:
    was = replace(QUIET, series=(FULL, replace(LOCAL, endings={1024: before})))
    now = replace(QUIET, series=(FULL, replace(LOCAL, endings={1024: (Status.WRONG, "differs")})))
    frame_ = compared(tmp_path, now, was).frame
    assert frame_[frame_["verdict"] == "error"]["reason"].tolist() == ["new in B, and wrong: differs"]


def test_a_run_with_nothing_to_compare_in_it_is_5_and_no_policy_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    alone = run(tmp_path / "alone", replace(QUIET, series=(FULL,)))
    code, output = bench("compare", alone, "--by", "implementation", "--out", "1")
    assert code == 5
    assert "Nothing could be compared: no two cases differ by that alone." in " ".join(output.split())
    assert output.count("Nothing could be compared") == 1
    two = run(tmp_path / "two", QUIET)
    for form in ("text", "markdown"):
        code, output = bench("compare", two, "--by", "variant", "--out", form, "--format", form)
        assert code == 0
        assert "worse than allowed" not in output


def test_across_machines_only_times_are_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    a = run(tmp_path / "a", QUIET)
    worse = replace(QUIET, seed=1, series=(FULL, slower(LOCAL, 1.3)))
    lost = replace(worse, series=(FULL, replace(LOCAL, endings={1024: OOM})))
    for name, plan, expected in (("worse", worse, 0), ("lost", lost, 3)):
        b = run(tmp_path / name, plan, cpu="Another CPU")
        code, output = bench("compare", a, b, "--across-machines", "--out", f"out-{name}")
        assert code == expected
        assert ("1 finding that fails" in output) == (expected == 3)


def test_the_page_and_its_files(tmp_path: Path) -> None:
    found = compared(tmp_path, replace(QUIET, series=(FULL, slower(LOCAL, 1.2))))
    written = page.write(found, tmp_path / "out", "bench <compare>")
    text = written.read_text()
    assert text.index(" are slower, ") < text.index("| regressed |") < text.index("| unchanged |")
    assert "bench <compare>" in text
    assert "estimated to by 3% at least. **unchanged**: its whole\n  interval is within 5% of no change." in text
    names = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*"))
    figures = [f"figures/{name}.{kind}" for name in ("overlay", "ratios") for kind in ("png", "svg")]
    assert names == ["comparison.csv", "comparison.json", "comparison.md", *figures]
    told = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert told["counts"] == {"regressed": 2, "unchanged": 2}
    assert len(told["cases"]) == 4
    assert tables.csv(found).count("\n") == 5


def test_the_verb_and_its_exit_codes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    a, b = run(tmp_path / "a", QUIET), run(tmp_path / "b", replace(QUIET, seed=1))
    worse = run(tmp_path / "worse", replace(QUIET, seed=2, series=(FULL, slower(LOCAL, 1.3))))
    lost = run(tmp_path / "lost", replace(QUIET, seed=3, series=(FULL, replace(LOCAL, endings={1024: OOM}))))
    alien = run(tmp_path / "alien", replace(QUIET, lengths=(333,)))
    assert bench("compare", a, b, "--out", "1")[0] == 0
    assert bench("compare", a, worse, "--out", "2")[0] == 1
    assert bench("compare", a, lost, "--out", "3")[0] == 3
    fewer = run(tmp_path / "fewer", replace(QUIET, lengths=(512, 333)))
    assert bench("compare", a, fewer, "--out", "4")[0] == 3, "some cases of A are missing"
    assert bench("compare", a, alien, "--out", "8")[0] == 5, "no case is in both"
    assert bench("compare", a, b, worse, "--out", "5")[0] == 1
    assert sorted(path.name for path in Path("5").iterdir()) == ["1-b", "2-worse"]
    assert bench("compare", worse, "--by", "variant", "--out", "6")[0] == 0
    code, output = bench("compare", a)
    assert code == 2
    assert "expected two RUNs or more" in output
    assert bench("compare", a, tmp_path / "nowhere", "--out", "7")[0] == 2
    assert bench("compare", a, b, "--out", "1")[0] == 2, "the folder holds something"


def test_nothing_comparable_is_never_0(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    none = replace(QUIET, series=(replace(FULL, endings={512: OOM, 1024: OOM}),))
    a, b = run(tmp_path / "a", none), run(tmp_path / "b", none)
    code, output = bench("compare", a, b)
    assert code == 5
    assert "Nothing could be compared" in output


def test_runs_of_two_suites_say_so_first_and_list_no_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    wrong = replace(LOCAL, endings=dict.fromkeys((64, 128), (Status.WRONG, "off")))
    a = run(tmp_path / "a", QUIET)
    b = run(tmp_path / "b", replace(QUIET, lengths=(64, 128), series=(FULL, wrong), name="short"))
    for words in (("compare", a, b), ("check", b, "--baseline", a)):
        code, output = bench(*words, "--out", words[0])
        assert code == 5
        assert output.startswith("Nothing could be compared: the runs are of the suites synthetic and short")
        text = (tmp_path / words[0] / "comparison.md").read_text()
        assert "local_window" not in output + text
    told = json.loads((tmp_path / "check" / "comparison.json").read_text())
    assert told["answer"][0].startswith("Nothing could be compared")
    assert (told["findings"], len(told["cases"])) == ([], 8)


@pytest.mark.parametrize("form", ["markdown", "csv", "json", "junit", "github"])
def test_every_form_is_printed_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    monkeypatch.chdir(tmp_path)
    a, worse = (
        run(tmp_path / "a", QUIET),
        run(tmp_path / "b", replace(QUIET, series=(FULL, slower(LOCAL, 1.3)), seed=1)),
    )
    done = CliRunner().invoke(main, ["compare", str(a), str(worse), "--format", form])
    starts = {"markdown": "### attnbench", "csv": "case,label", "json": "{", "junit": "<?xml", "github": "::error "}
    assert done.stdout.startswith(starts[form])
    assert "comparison: " in done.stderr
    assert "comparison: " not in done.stdout


@pytest.mark.parametrize("form", ["csv", "json", "junit"])
def test_two_documents_are_none(tmp_path: Path, form: str) -> None:
    runs = [run(tmp_path / name, QUIET) for name in "abc"]
    code, output = bench("compare", *runs, "--format", form)
    assert code == 2
    assert f"--format {form}: expected two RUNs, found 3" in output


def test_one_run_has_one_machine(tmp_path: Path) -> None:
    code, output = bench("compare", run(tmp_path / "a", QUIET), "--by", "variant", "--across-machines")
    assert code == 2
    assert "expected no --across-machines" in output


def test_all_cases_together_have_an_interval(tmp_path: Path) -> None:
    """It contains the geometric mean of the ratios, which is as far off as the machine."""
    found = compared(tmp_path, replace(QUIET, series=(slower(FULL, 1.1), slower(LOCAL, 1.1))))
    assert found.together is not None
    mean, low, high = (math.exp(each) for each in found.together[:3])
    assert mean == pytest.approx(math.exp(np.log(found.frame["ratio"]).mean()))
    assert low < 1.1 < high
    assert any(f"B takes {units.interval(mean, low, high, ' times as long as A')}" in each for each in notes(found))
    alone = compared(tmp_path / "alone", replace(QUIET, series=(FULL,), lengths=(512,)), replace(QUIET, series=(FULL,)))
    assert alone.together is None


def test_a_figure_of_both_runs_holds_both(tmp_path: Path) -> None:
    """Also where A is far from B: the axis has room for it."""
    a = load(run(tmp_path / "a", QUIET))
    b = load(run(tmp_path / "b", replace(QUIET, seed=1, series=(slower(FULL, 40.0), slower(LOCAL, 40.0)))))
    found = compare(a, b)
    assert found.after is not None
    axes = overlay(found, found.after).axes[0]
    low, high = axes.get_ylim()
    shown = [float(ns) for line in axes.lines if line.get_marker() == "x" for ns in np.asarray(line.get_ydata())]
    assert sorted(shown) == sorted(a.frame["time_ns"])
    assert low < min(shown)
    assert max(shown) < high


def test_cases_without_times_cost_the_others_nothing() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(0, 0.01, (10, 5)), rng.normal(0.02, 0.01, (10, 5))
    nothing = np.full((10, 5), np.nan)
    alone, beside = unpaired(a, b), unpaired(np.vstack([a, nothing]), np.vstack([b, nothing]))
    assert judge(beside, Rule())[1][:10].tolist() == judge(alone, Rule())[1].tolist()
    assert judge(beside, Rule())[0][:10] == judge(alone, Rule())[0]
    told = [detectable_at_once(each.error, each.freedom, Rule())[:10].tolist() for each in (alone, beside)]
    assert told[0] == told[1]


def test_an_axis_that_changed_altogether_is_named(tmp_path: Path) -> None:
    """A suite that now has another number of threads measures other cases."""
    found = compared(tmp_path, replace(QUIET, threads=(1, 2)), replace(QUIET, threads=("auto",)))
    assert "no case is in both: threads is auto in A and 1 and 2 in B" in notes(found)
    assert not any("no case is in both" in each for each in notes(compared(tmp_path / "same", QUIET)))


def test_an_implementation_that_was_exchanged_is_named_with_the_line_that_pins_it(tmp_path: Path) -> None:
    """As where one machine has a compiler and the other has none."""
    series = tuple(replace(each, implementation="native") if each.variant != "full" else each for each in QUIET.series)
    found = compared(tmp_path, replace(QUIET, series=series), QUIET)
    (told,) = [each for each in notes(found) if "not compared" in each]
    assert "local_window" in told
    assert "blockwise in A and native in B" in told
    assert "`implementation: blockwise`" in told
