"""Runs of one suite in parts, made one run; and those that cannot be one."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from test_engine import SUITE, FakeWorker
from test_resume import Stopping, StoppingWorker, change, lines, meta, resume, unescaped
from test_shards import SEVERAL

from attnbench.reports.compare.between_runs import compare
from attnbench.reports.data.reading import read
from attnbench.reports.findings.run import load
from attnbench.reports.pages import run_report
from attnbench.runner.cli import main
from attnbench.runner.execution import engine, journal, merging
from attnbench.runner.execution.journal import FolderError
from attnbench.runner.execution.local import Local
from attnbench.runner.execution.progress import Quiet
from attnbench.suites import Case
from attnbench.suites.schema.load import parse
from attnbench.suites.selection import Narrowing
from attnbench.suites.shards import Shard

FIRST, SECOND = Narrowing(direction=("forward",)), Narrowing(direction=("training",))
"""Two sweeps each."""
MEASURED = (
    *("time", "speedup", "realised", "parts", "flops_per_s", "tokens_per_s", "within", "between", "drift", "flags"),
    *("processes_for", "roof_share"),
)
"""How columns begin that times decide."""


class Noisy(Stopping):
    """A machine whose times are drawn from a seed."""

    def __init__(self, seed: int, stop_at: int = 10**6) -> None:
        super().__init__(stop_at)
        self.rng = np.random.default_rng(seed)

    def start(self, kind: str, budget_bytes: int | None, folders: tuple[Path, ...]) -> FakeWorker:
        super().start(kind, budget_bytes, folders)
        return NoisyWorker(self)


class NoisyWorker(StoppingWorker):
    """A worker of a `Noisy`."""

    def __init__(self, machine: Noisy) -> None:
        super().__init__(machine)
        self.noisy = machine

    def ask(self, request: dict[str, Any], patience_s: float, heard: object = None) -> Any:
        reply = super().ask(request, patience_s)
        if request["do"] == "time":
            for sample in reply:
                sample["values_ns"] = (5e6 * np.exp(self.noisy.rng.normal(0, 0.1, 2))).tolist()
        return reply


def run(folder: Path, seed: int, cases: list[Case] | None = None, text: str = SEVERAL, **options: Any) -> Path:
    machine = Noisy(seed)
    suite = parse(text, "tiny.yaml")
    engine.run(suite, folder, Quiet(), cases=cases, executor=Local(machine.start, machine.now), **options)
    return folder


def sharded(folder: Path, count: int, text: str = SEVERAL) -> list[Path]:
    """Runs of all shards."""
    cases = parse(text).cases()
    shards = [Shard(index, count) for index in range(1, count + 1)]
    told = [{"shard": str(each), "command": ["bench", "run", "tiny.yaml", str(each)]} for each in shards]
    return [
        run(folder / f"shard-{each.index}", each.index, each.of(cases), text, **options)
        for each, options in zip(shards, told, strict=True)
    ]


def equal(a: pd.DataFrame, b: pd.DataFrame) -> None:
    """Expect the same numbers of the same cases, whatever the part; sums may differ in the last bits."""
    a, b = (each.drop(columns="parts").reset_index(drop=True) for each in (a, b))
    pd.testing.assert_frame_equal(a, b, rtol=1e-9, atol=1e-12)


def on(folder: Path, **facts: Any) -> Path:
    """Have a run be of another machine or version."""
    change(folder, environment=meta(folder)["environment"] | facts)
    return folder


@pytest.mark.parametrize("count", [2, 3, 4])
def test_merged_shards_are_the_run_of_the_whole_suite(tmp_path: Path, count: int) -> None:
    whole = load(run(tmp_path / "whole", 0))
    folders = sharded(tmp_path, count)
    merging.merge(folders, tmp_path / "merged", ["bench", "merge", "a", "b"])
    merged = load(tmp_path / "merged")
    same = [name for name in whole.frame.columns if not name.startswith(MEASURED)]
    assert [name for name in same if not merged.frame[name].equals(whole.frame[name])] == []
    assert merged.frame["speedup"].notna().tolist() == whole.frame["speedup"].notna().tolist()
    assert merged.scaling["time_exponent"].notna().tolist() == whole.scaling["time_exponent"].notna().tolist()
    assert merged.scaling["crossover"].ne("").tolist() == whole.scaling["crossover"].ne("").tolist()
    for part, folder in enumerate(folders):
        equal(merged.frame[merged.frame["parts"] == str(part)], load(folder).frame)
    told = meta(tmp_path / "merged")
    assert told["finished"] is not None
    assert [part.shard for part in merged.parts] == [f"{index}/{count}" for index in range(1, count + 1)]
    assert {part.machine for part in merged.parts} == {0}
    report = run_report.report(merged, "")
    assert "".join(f"bench run tiny.yaml {part.shard}\n" for part in merged.parts) + "bench merge a b\n" in report
    assert "Part 1 is a merged run, started" in report
    assert sorted(path.name for path in (tmp_path / "merged").iterdir()) == ["run.json", "samples.jsonl"]


def test_the_order_of_runs_is_that_of_parts_only(tmp_path: Path) -> None:
    folders = sharded(tmp_path, 3)
    merging.merge(folders, tmp_path / "a")
    merging.merge(folders[::-1], tmp_path / "b")
    equal(load(tmp_path / "a").frame, load(tmp_path / "b").frame)


def test_merged_runs_can_be_merged(tmp_path: Path) -> None:
    one, two, three = sharded(tmp_path, 3)
    merging.merge([one, two], tmp_path / "half")
    merging.merge([tmp_path / "half", three], tmp_path / "twice")
    merging.merge([one, two, three], tmp_path / "once")
    equal(load(tmp_path / "twice").frame, load(tmp_path / "once").frame)
    assert [part.shard for part in load(tmp_path / "twice").parts] == ["1/3", "2/3", "3/3"]


def test_sweeps_of_two_machines_stay_apart(tmp_path: Path) -> None:
    cases = parse(SEVERAL).cases()
    run(tmp_path / "a", 1, FIRST.of(cases))
    on(run(tmp_path / "b", 2, SECOND.of(cases)), cpu="another", memory_bytes=2**40)
    merging.merge([tmp_path / "a", tmp_path / "b"], tmp_path / "merged")
    merged = load(tmp_path / "merged")
    assert [part.machine for part in merged.parts] == [0, 1]
    assert merged.frame["speedup"].notna().all()
    assert merged.gradients == (), "training here and forward there are not compared"
    forward = (merged.frame["direction"] == "forward").to_numpy()
    second = np.array([part == 1 for _, part in merged.processes])
    assert np.isnan(merged.log_ns[np.ix_(forward, second)]).all()
    report = unescaped(merged)
    assert "Changed since: environment.cpu was" in report
    assert "| part | cpu | memory_gib |" in report
    assert "| 1 | another | 1024 |" in report
    assert set(compare(merged, merged).frame["verdict"]) == {"incomparable"}
    with pytest.raises(FolderError, match="environment.cpu: 'another' in the run"):
        resume(Noisy(3), tmp_path / "merged")


def test_numbers_of_threads_on_two_machines_are_not_compared(tmp_path: Path) -> None:
    text = SUITE + "threads: [1, 2]\n"
    cases = parse(text).cases()
    few, many = ([case for case in cases if case.setting.threads == count] for count in (1, 2))
    run(tmp_path / "a", 1, few, text)
    run(tmp_path / "b", 2, many, text)
    merging.merge([tmp_path / "a", tmp_path / "b"], tmp_path / "here")
    assert len(load(tmp_path / "here").threads) == 1
    on(tmp_path / "b", cpu="another")
    merging.merge([tmp_path / "a", tmp_path / "b"], tmp_path / "apart")
    assert load(tmp_path / "apart").threads == ()


def test_processes_of_two_runs_of_one_machine_add_up(tmp_path: Path) -> None:
    suite = parse(SEVERAL, "tiny.yaml")
    run(tmp_path / "a", 1)
    run(tmp_path / "b", 2, FIRST.of(suite.cases()))
    merging.merge([tmp_path / "a", tmp_path / "b"], tmp_path / "merged")
    merged = load(tmp_path / "merged")
    forward = merged.frame["direction"] == "forward"
    assert set(merged.frame.loc[forward, "processes"]) == {6}
    assert set(merged.frame.loc[forward, "parts"]) == {"0 1"}
    assert set(merged.frame.loc[~forward, "processes"]) == {3}
    assert len(lines(tmp_path / "merged")) == 36 + 36 * 3 + 18 * 3, "one probe for each case"
    a, b = (load(tmp_path / name) for name in ("a", "b"))
    both = (a.log_ns[forward].sum(axis=1) + b.log_ns.sum(axis=1)) / 6
    assert np.log(merged.frame.loc[forward, "time_ns"]).to_numpy() == pytest.approx(both)
    machine = Noisy(3)
    resume(machine, tmp_path / "merged")
    assert {replicate for replicate, _ in machine.timed} == {3, 4, 5}, "all cases get as many"
    assert set(load(tmp_path / "merged").frame["processes"]) == {6}


def test_what_one_run_had_no_time_for_is_that_of_the_other(tmp_path: Path) -> None:
    machine = Noisy(1)
    machine.request_s = 50
    suite = parse(SEVERAL, "tiny.yaml")
    engine.run(suite, tmp_path / "a", Quiet(), executor=Local(machine.start, machine.now))
    assert "skipped" in set(load(tmp_path / "a").frame["status"])
    run(tmp_path / "b", 2)
    for names in (("a", "b"), ("b", "a")):
        out = tmp_path / "".join(names)
        merging.merge([tmp_path / name for name in names], out)
        assert set(load(out).frame["status"]) == {"passed"}
        assert load(out).frame["processes"].min() == 3


def test_a_run_that_did_not_finish_leaves_the_merged_run_unfinished(tmp_path: Path) -> None:
    one, two = sharded(tmp_path, 2)
    change(two, finished=None)
    merging.merge([one, two], tmp_path / "merged")
    assert meta(tmp_path / "merged")["finished"] is None
    assert [part.finished is None for part in load(tmp_path / "merged").parts] == [False, True]
    resume(Noisy(3), tmp_path / "merged")
    assert meta(tmp_path / "merged")["finished"] is not None


def test_a_merged_run_may_grow(tmp_path: Path) -> None:
    merging.merge(sharded(tmp_path, 2), tmp_path / "merged")
    suite = parse(SEVERAL.replace("{window: 3}", "{window: [3, 5]}"), "tiny.yaml")
    machine = Noisy(3)
    resume(machine, tmp_path / "merged", suite=suite)
    assert [len(keys) for _, keys in machine.timed] == [2] * 36
    merged = load(tmp_path / "merged")
    assert merged.frame["speedup"].notna().all()
    assert len(merged.parts) == 3
    run(tmp_path / "more", 4, text=SEVERAL.replace("{window: 3}", "{window: [3, 5]}"))
    merging.merge([tmp_path / "merged", tmp_path / "more"], tmp_path / "again")
    again = load(tmp_path / "again")
    assert set(again.frame["processes"]) == {6}
    assert meta(tmp_path / "again")["format"] == 2
    assert [part.merged for part in again.parts] == [False, True, False, True]


# What is refused


def refused(folders: list[Path], tmp_path: Path) -> list[str]:
    """The lines of the error, with names in place of paths."""
    with pytest.raises(FolderError) as error:
        merging.merge(folders, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()
    return str(error.value).replace(f"{tmp_path}/", "").splitlines()


def test_other_suites_are_refused(tmp_path: Path) -> None:
    run(tmp_path / "a", 1)
    run(tmp_path / "b", 2, text=SEVERAL.replace("values: 2", "values: 3") + "seed: 7\n")
    assert refused([tmp_path / "a", tmp_path / "b"], tmp_path) == [
        "a and b: expected runs of one suite by one version of the code, found:",
        "  suite.seed: 0 in a, 7 in b",
        "  suite.measure.values: 2 in a, 3 in b",
    ]


def test_another_version_is_refused_even_apart(tmp_path: Path) -> None:
    one, two = sharded(tmp_path, 2)
    on(two, commit="0123456789ab")
    first, line = refused([one, two], tmp_path)
    assert first == "shard-1 and shard-2: expected runs of one suite by one version of the code, found:"
    assert line.startswith("  environment.commit: ")
    assert line.endswith("in shard-1, '0123456789ab' in shard-2")


def test_a_sweep_of_two_machines_of_one_class_is_refused(tmp_path: Path) -> None:
    cases = parse(SEVERAL).cases()
    run(tmp_path / "a", 1, Narrowing(seq_len=(16, 32)).of(cases))
    run(tmp_path / "b", 2, Narrowing(seq_len=(64,)).of(cases))
    merging.merge([tmp_path / "a", tmp_path / "b"], tmp_path / "one-machine")
    on(tmp_path / "b", torch="another")
    first, line = refused([tmp_path / "a", tmp_path / "b"], tmp_path)
    assert first == (
        "a and b: expected each sweep over lengths on one machine, because times of different machines are not "
        "compared, found that of full/eager N=64 float32 cpu forward on two:"
    )
    assert line.startswith("  environment.torch: ")
    assert line.endswith("in a, 'another' in b")


def test_runs_of_several_classes_of_hardware_stand_side_by_side(tmp_path: Path) -> None:
    run(tmp_path / "a", 1)
    on(run(tmp_path / "b", 2), cpu="another", cpu_features="sve", usable_cores=4)
    on(run(tmp_path / "c", 3), cpu="another", cpu_features="sve", usable_cores=4)
    merging.merge([tmp_path / "a", tmp_path / "b", tmp_path / "c"], tmp_path / "merged")
    merged = load(tmp_path / "merged")
    classes = list(dict.fromkeys(merged.frame["hardware"]))
    assert len(classes) == 2
    assert "another (sve, 4 cores)" in classes
    assert len(merged.frame) == 2 * len(parse(SEVERAL).cases())
    many = merged.frame.groupby("hardware")["processes"].max().to_dict()
    assert many.pop("another (sve, 4 cores)") == 2 * 3, "two runs of one class add up"
    assert set(many.values()) == {3}
    assert merged.frame["speedup"].notna().equals(merged.frame["baseline"] != "")
    assert merged.by_hardware
    assert "## Hardware" in run_report.write(merged).read_text()
    again = load(tmp_path / "merged")
    assert again.frame.equals(merged.frame)


def test_a_run_that_mixes_classes_cannot_stand_beside_another(tmp_path: Path) -> None:
    run(tmp_path / "a", 1)
    on(run(tmp_path / "b", 2), cpu="another")
    machine = Noisy(3)
    executor = Local(machine.start, machine.now)
    engine.resume(tmp_path / "b", Quiet(), processes=6, anyway=True, executor=executor)
    (line,) = refused([tmp_path / "a", tmp_path / "b"], tmp_path)
    assert line.startswith("b: expected each case on one class of hardware")


def test_the_same_run_twice_is_refused(tmp_path: Path) -> None:
    run(tmp_path / "a", 1)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert refused([tmp_path / "a", tmp_path / "b"], tmp_path) == [
        "a and b: expected different runs, found the same times; leave one out"
    ]


def test_a_folder_in_use_and_one_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    folders = sharded(tmp_path, 2)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    with pytest.raises(FolderError, match="full: expected a new or empty folder, found files in it; name another$"):
        merging.merge(folders, tmp_path / "full")
    with pytest.raises(FolderError, match="mine: cannot be written: Not a directory$"):
        merging.merge(folders, tmp_path / "full" / "mine")
    (tmp_path / "empty").mkdir()
    merging.merge(folders, tmp_path / "empty")
    assert load(tmp_path / "empty").parts[1].merged


def test_two_merges_into_one_folder_are_refused(tmp_path: Path) -> None:
    folders = sharded(tmp_path, 2)
    (tmp_path / ".out.merging").mkdir()
    with journal.Journal(tmp_path / ".out.merging"), pytest.raises(FolderError, match="found one; wait for its end$"):
        merging.merge(folders, tmp_path / "out")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["a", "--out", "out"], "expected at least two RUN folders, found 1; name all parts"),
        (["a", "b"], "Missing option '--out'"),
        (["a", "b", "--out", "out"], "a/run.json: expected the folder of a run, found none"),
    ],
)
def test_a_command_that_cannot_be_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["merge", *words])
    assert done.exit_code == 2
    assert told in done.output.splitlines()[-1]


def test_a_part_that_a_run_does_not_have_is_refused(tmp_path: Path) -> None:
    run(tmp_path / "a", 1)
    path = tmp_path / "a" / "samples.jsonl"
    path.write_text(path.read_text().replace('"part":0', '"part":1', 1))
    done = CliRunner().invoke(main, ["report", str(tmp_path / "a")])
    assert done.exit_code == 2
    assert done.output.endswith("samples.jsonl:1: part: expected a part of run.json, from 0 to 0, found 1\n")


# Kills


KILLED = """
import os, signal, sys
from pathlib import Path
from attnbench.runner.execution import merging

out, *folders = map(Path, sys.argv[1:])
left = 0

def strike(event, arguments):
    global left
    if event in ("open", "os.rename", "os.remove", "os.mkdir", "os.truncate", "os.listdir", "shutil.rmtree"):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

merging.merge(folders, Path("whole"))  # which imports all that it needs
for event in range(1, 1000):
    child = os.fork()
    if child == 0:
        left = event
        sys.addaudithook(strike)
        merging.merge(folders, out)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if status == 0:
        break
    assert os.WTERMSIG(status) == signal.SIGKILL, status
    assert not out.exists(), event
print(event - 1)
"""
"""Merges runs again and again, each time killed at a later event on files, until it is not."""


def test_a_merge_that_is_killed_leaves_nothing_half(tmp_path: Path) -> None:
    folders = sharded(tmp_path, 2)
    command = [sys.executable, "-c", KILLED, "out", *map(str, folders)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 5
    expected = (tmp_path / "whole" / "samples.jsonl").read_bytes()
    assert (tmp_path / "out" / "samples.jsonl").read_bytes() == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "shard-1", "shard-2", "whole"]
    assert read(tmp_path / "out").meta["cases"] == read(tmp_path / "whole").meta["cases"]
