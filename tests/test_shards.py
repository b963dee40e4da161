"""Shards of a suite: each case is in one, sweeps over lengths stay whole, and the work is about equal."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from test_engine import SUITE, Machine

from attnbench.reports.findings.run import load as load_run
from attnbench.runner.cli import main
from attnbench.runner.execution import engine
from attnbench.runner.execution.local import Local
from attnbench.runner.execution.progress import Quiet
from attnbench.suites import Case, shipped
from attnbench.suites.schema.load import load, parse
from attnbench.suites.schema.suite import Suite
from attnbench.suites.selection import Narrowing, SelectionError
from attnbench.suites.shards import Shard

SUITES = {name: load(path) for name, path in shipped().items()}
SEVERAL = SUITE.replace("head_dim: 8,", "head_dim: [8, 16],") + "direction: [forward, training]\n"
"""With four sweeps."""


def apart_from_length(case: Case) -> str:
    """The setting of a case without its length, written anew."""
    facts = {name: value for name, value in case.setting.flat().items() if name != "seq_len"}
    return json.dumps(facts, sort_keys=True)


def shards(cases: list[Case], count: int) -> list[list[Case]]:
    return [Shard(index, count).of(cases) for index in range(1, count + 1)]


@given(st.data())
def test_shards_of_any_cases_have_each_case_once_and_whole_sweeps(data: st.DataObject) -> None:
    suite = SUITES[data.draw(st.sampled_from(sorted(SUITES)))]
    every = suite.cases()
    picked = data.draw(st.sets(st.sampled_from(range(len(every))), min_size=1))
    cases = [case for place, case in enumerate(every) if place in picked]
    sweeps = {apart_from_length(case) for case in cases}
    count = data.draw(st.integers(1, len(sweeps)))
    found = shards(cases, count)
    assert all(found), "no shard is empty"
    assert sorted(case.key for shard in found for case in shard) == sorted(case.key for case in cases)
    homes = {(apart_from_length(case), index) for index, shard in enumerate(found) for case in shard}
    assert len(homes) == len(sweeps), "no sweep is in two shards"
    places = {case.key: place for place, case in enumerate(cases)}
    assert all([places[case.key] for case in shard] == sorted(places[case.key] for case in shard) for shard in found)


@pytest.mark.parametrize("name", sorted(SUITES))
def test_each_case_has_its_baselines_in_its_shard(name: str) -> None:
    suite = SUITES[name]
    cases = suite.cases()
    for shard in shards(cases, len({apart_from_length(case) for case in cases})):
        there = {case.key for case in shard}
        assert all(each.key in there for case in shard for each in suite.baselines_of(case))


@given(st.lists(st.integers(1, 6), min_size=1, max_size=12), st.data())
def test_work_is_about_equal(counts: list[int], data: st.DataObject) -> None:
    """No shard has more than the smallest one and its own smallest sweep."""
    cases = [
        case
        for place, many in enumerate(counts)
        for case in parse(
            SUITE.replace("heads: 1,", f"heads: {place + 1},").replace("[16, 32, 64]", str(list(range(16, 16 + many))))
        ).cases()
    ]
    found = shards(cases, data.draw(st.integers(1, len(counts))))
    sums = [sum(case.setting.shape.seq_len for case in shard) for shard in found]
    for shard, total in zip(found, sums, strict=True):
        heads = {case.setting.shape.heads for case in shard}
        sweeps = [sum(c.setting.shape.seq_len for c in shard if c.setting.shape.heads == each) for each in heads]
        assert total <= min(sums) + min(sweeps)


def test_more_shards_than_sweeps_are_refused() -> None:
    cases = parse(SEVERAL).cases()
    assert [len(shard) for shard in shards(cases, 4)] == [9] * 4
    with pytest.raises(SelectionError) as error:
        Shard(1, 5).of(cases)
    assert str(error.value) == (
        "shard 1/5: expected at most 4, because these cases have so many sweeps over lengths, found 5"
    )


@pytest.mark.parametrize("text", ["", "2", "0/2", "3/2", "1/0", "-1/2", "1/2/3", "a/b", "1 / 2", "01/2", "1/100000"])
def test_what_is_no_shard_is_one_line(text: str) -> None:
    with pytest.raises(SelectionError, match="^--shard: expected i/n with i from 1 to n, such as 2/5, found"):
        Shard.read(text)


def test_a_shard_is_written_as_it_is_read() -> None:
    assert str(Shard.read("12/345")) == "12/345"


def run(folder: Path, suite: Suite, shard: Shard, cases: list[Case] | None = None) -> None:
    chosen = shard.of(suite.cases() if cases is None else cases)
    machine = Machine()
    engine.run(suite, folder, Quiet(), cases=chosen, shard=str(shard), executor=Local(machine.start, machine.now))


def test_a_run_says_which_shard_it_is(tmp_path: Path) -> None:
    suite = parse(SEVERAL, "tiny.yaml")
    run(tmp_path / "run", suite, Shard(2, 3))
    told = load_run(tmp_path / "run")
    assert told.meta["shard"] == told.parts[0].shard == "2/3"
    assert told.frame["case"].tolist() == [case.key for case in Shard(2, 3).of(suite.cases())]
    assert told.frame.loc[told.frame["variant"] == "local_window", "speedup"].notna().all()


def test_cases_are_narrowed_before_they_are_divided(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(SEVERAL)
    narrowing = ["--direction", "forward", "--seq-len", "32"]
    keys = []
    for index in (1, 2):
        words = ["run", str(tmp_path / "tiny.yaml"), "--dry-run", "--json", *narrowing, "--shard", f"{index}/2"]
        done = CliRunner().invoke(main, words)
        assert done.exit_code == 0, done.output
        *cases, estimate = map(json.loads, done.stdout.splitlines())
        assert estimate["shard"] == f"{index}/2"
        keys += [each["case"] for each in cases]
    wanted = Narrowing(direction=("forward",), seq_len=(32,)).of(parse(SEVERAL).cases())
    assert sorted(keys) == sorted(case.key for case in wanted)


def test_a_dry_run_says_which_shard_it_shows(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(SEVERAL)
    done = CliRunner().invoke(main, ["run", str(tmp_path / "tiny.yaml"), "--dry-run", "--shard", "2/4"])
    assert "9 of 9 cases would be measured" in done.output
    assert "\nThese cases are shard 2/4.\n" in done.output


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["quick", "--shard", "9/2"], "--shard: expected i/n with i from 1 to n, such as 2/5, found"),
        (["quick", "--shard", "1/999", "--dry-run"], "shard 1/999: expected at most"),
        (["quick", "--shard", "1/2", "--resume", "run"], "expected one of --resume and --shard, found both; leave one"),
    ],
)
def test_shards_that_cannot_be_are_one_line(words: list[str], told: str) -> None:
    done = CliRunner().invoke(main, ["run", *words])
    assert done.exit_code == 2
    assert told in done.output.splitlines()[-1]
