"""Checking a run against a stored one: the policy, the store, and the exit codes."""

import json
import re
import tarfile
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from commands import bench
from rows import FULL, LOCAL, OOM, QUIET, Plan
from rows import write_on as run

from attnbench.reports.compare import baselines, forms, tables
from attnbench.reports.compare.between_runs import compare
from attnbench.reports.compare.comparison import Comparison
from attnbench.reports.compare.gate import STRICT, held
from attnbench.reports.data.reading import RunError
from attnbench.reports.decision.rule import Rule
from attnbench.reports.findings.run import load
from attnbench.reports.text import units
from attnbench.runner.cli.policy import policy_of
from attnbench.suites import Case, Status
from attnbench.suites.profile import Operator, Profile
from attnbench.suites.schema.limits import Check, MemoryLimit, TimeLimit
from attnbench.suites.schema.load import SuiteError, from_dict, parse

SLOW = replace(QUIET, seed=1, series=(FULL, replace(LOCAL, at_1024_ns=1.3e6)))
SLIGHTLY = replace(QUIET, seed=1, series=(FULL, replace(LOCAL, at_1024_ns=1.1e6)))
FAT = replace(QUIET, seed=1, series=(FULL, replace(LOCAL, bytes_at_1024=2**23 + 2**16)))
WASTEFUL = replace(QUIET, seed=1, series=(FULL, replace(LOCAL, waste=1.4)))
LOST = replace(QUIET, seed=1, series=(FULL, replace(LOCAL, endings={1024: OOM})))
GONE = replace(QUIET, seed=1, lengths=(512,))


def check(*words: str | Path) -> tuple[int, str]:
    return bench("check", *words)


def compared(tmp_path: Path, b: Plan) -> Comparison:
    return compare(load(run(tmp_path / "a", QUIET)), load(run(tmp_path / "b", b)))


@pytest.mark.parametrize(
    ("plan", "options", "code"),
    [
        pytest.param(replace(QUIET, seed=1), (), 0, id="nothing-changed"),
        pytest.param(SLOW, (), 0, id="times-warn-by-default"),
        pytest.param(SLOW, ("--severity", "time=fail"), 1, id="and-fail-where-asked"),
        pytest.param(SLIGHTLY, ("--severity", "time=fail"), 0, id="below-the-limit"),
        pytest.param(SLIGHTLY, ("--severity", "time=fail", "--limit", "time=5%"), 1, id="above-a-narrower-one"),
        pytest.param(
            SLIGHTLY, ("--severity", "time=fail", "--limit", "time=50us"), 1, id="an-amount-replaces-the-share"
        ),
        pytest.param(
            SLIGHTLY,
            ("--severity", "time=fail", "--limit", "time=50us", "--limit", "time=20%"),
            0,
            id="or-stands-beside-it",
        ),
        pytest.param(FAT, (), 1, id="one-byte-more-fails"),
        pytest.param(FAT, ("--limit", "memory=1MiB"), 0, id="unless-it-is-allowed"),
        pytest.param(FAT, ("--limit", "memory=5%"), 0, id="as-a-share-too"),
        pytest.param(FAT, ("--severity", "memory=ignore"), 0, id="or-ignored"),
        pytest.param(WASTEFUL, (), 1, id="more-work-fails"),
        pytest.param(LOST, (), 3, id="a-case-that-newly-fails"),
        pytest.param(GONE, (), 3, id="a-case-that-vanished"),
    ],
)
def test_exit_codes(tmp_path: Path, plan: Plan, options: tuple[str, ...], code: int) -> None:
    stored, now = run(tmp_path / "stored", QUIET), run(tmp_path / "now", plan)
    assert check(now, "--baseline", stored, *options)[0] == code


def test_on_another_machine_work_is_hard_and_times_are_not_compared(tmp_path: Path) -> None:
    stored = run(tmp_path / "stored", QUIET)
    slow, wasteful = (run(tmp_path / name, plan, cpu="Another") for name, plan in (("slow", SLOW), ("more", WASTEFUL)))
    assert check(slow, "--baseline", stored, "--severity", "time=fail")[0] == 0
    assert check(wasteful, "--baseline", stored)[0] == 1


@pytest.mark.parametrize("limit", ["100%", "9999%"])
def test_a_limit_may_be_as_large_as_one_likes(tmp_path: Path, limit: str) -> None:
    stored, now = run(tmp_path / "stored", QUIET), run(tmp_path / "now", SLOW)
    code, output = check(now, "--baseline", stored, "--severity", "time=fail", "--limit", f"time={limit}")
    assert code == 0, output


def test_the_page_of_a_check_tells_its_own_limits(tmp_path: Path) -> None:
    stored, now = run(tmp_path / "stored", QUIET), run(tmp_path / "now", SLIGHTLY)
    assert check(now, "--baseline", stored, "--out", tmp_path / "out")[0] == 0
    text = (tmp_path / "out" / "comparison.md").read_text()
    assert "estimated to by 15% at least" in text
    assert "**unchanged**: its whole\n  interval is within 15% of no change." in text


def test_what_fails_a_check_stands_in_its_files(tmp_path: Path) -> None:
    stored, now = run(tmp_path / "stored", QUIET), run(tmp_path / "now", FAT)
    assert check(now, "--baseline", stored, "--out", tmp_path / "out")[0] == 1
    told = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert [set(each) for each in told["findings"]] == [{"case", "metric", "verdict", "severity", "told"}] * 2
    assert {each["case"] for each in told["findings"]} < {each["case"] for each in told["cases"]}
    found = {(each["metric"], each["verdict"], each["severity"], each["told"]) for each in told["findings"]}
    assert ("memory", "regressed", "fail", "8.00 MiB to 8.06 MiB") in found
    assert told["how"].startswith("Times of two runs are compared")
    text = (tmp_path / "out" / "comparison.md").read_text()
    assert "\n\n2 findings that fail, 0 that warn. A slow-down of " in text
    assert text.count("- **fail** ") == 2


def test_json_says_how_and_what_was_found_where_nothing_was_compared(tmp_path: Path) -> None:
    none = replace(QUIET, series=(replace(FULL, endings={512: OOM, 1024: OOM}),))
    found = compare(load(run(tmp_path / "a", none)), load(run(tmp_path / "b", none)))
    told = json.loads(tables.as_json(held(found, STRICT)))
    assert told["findings"] == []
    assert told["how"] == found.how
    assert json.loads(tables.as_json(found))["findings"] is None, "nothing is held to a policy"


def test_strict_asks_for_certainty(tmp_path: Path) -> None:
    noisy = replace(QUIET, process_sd=0.3)
    stored, now = run(tmp_path / "stored", noisy), run(tmp_path / "now", replace(noisy, seed=1))
    assert check(now, "--baseline", stored)[0] == 0
    assert check(now, "--baseline", stored, "--strict")[0] == 4


@pytest.mark.parametrize("limit", ["time=2%", "time=20%"])
def test_undecided_times_are_counted_once(tmp_path: Path, limit: str) -> None:
    noisy = replace(QUIET, process_sd=0.03, lengths=(512, 1024, 2048))
    stored = run(tmp_path / "stored", replace(noisy, process_sd=0.05))
    _, output = check(run(tmp_path / "now", replace(noisy, seed=2)), "--baseline", stored, "--limit", limit, "--strict")
    said = re.findall(r"(\d+ of \d+) times are not decided", " ".join(output.split()))
    assert len(set(said)) <= 1
    assert len(said) in (0, 2), "in the headline or the answer, and by --strict"
    assert bool(said) == (limit == "time=2%")


def checked(tmp_path: Path, plan: Plan, policy: Check) -> Comparison:
    """What `bench check` finds for two runs of a plan."""
    a, b = (load(run(tmp_path / name, replace(plan, seed=seed))) for seed, name in enumerate("ab"))
    policies = dict.fromkeys(a.frame["case"], policy)
    return held(compare(a, b, Rule(floor=0), policies=policies), policies)


def test_a_check_says_how_small_a_slow_down_it_could_have_seen(tmp_path: Path) -> None:
    found = checked(tmp_path, replace(QUIET, process_sd=0.02), Check())
    sizes = found.frame["minimum_detectable"]
    assert 0.01 < sizes.min() < 0.15, "whatever the limit is"
    assert (found.median_detectable, found.worst_detectable) == (sizes.median(), sizes.max())
    told = json.loads(tables.as_json(found))
    assert told["detectable"] == {"median": sizes.median(), "worst": sizes.max()}
    assert {each["limit"] for each in told["cases"]} == {0.15}
    first = forms.headline(found)
    assert units.change(sizes.median()) in first
    assert units.change(sizes.max()) in first
    assert not forms.doubts(found)


def test_a_check_that_could_not_see_what_its_limit_refuses_warns_and_is_4_if_strict(tmp_path: Path) -> None:
    plan, policy = replace(QUIET, process_sd=0.02), Check(time=TimeLimit(relative="2%"))
    found = checked(tmp_path, plan, policy)
    assert (found.frame["minimum_detectable"] > 0.02).all()
    assert found.blind.all()
    assert forms.annotations(found).startswith("::warning title=attnbench::Too noisy: 4 of 4 times")
    words: list[str | Path] = [tmp_path / "b", "--baseline", tmp_path / "a", "--limit"]
    assert check(*words, "time=2%")[0] == 0
    assert check(*words, "time=2%", "--strict")[0] == 4
    assert check(*words, "time=2%", "--strict", "--severity", "time=ignore")[0] == 0
    assert check(*words, "time=40%", "--strict")[0] == 0


def test_too_few_processes_could_not_have_seen_anything(tmp_path: Path) -> None:
    found = checked(tmp_path, replace(QUIET, processes=2), Check())
    assert found.frame["minimum_detectable"].isna().all()
    assert found.blind.all()


def test_an_amount_of_time_is_a_share_of_each_time(tmp_path: Path) -> None:
    found = checked(tmp_path, QUIET, Check(time=TimeLimit(relative="1%", absolute="50us")))
    shares = 50_000 / found.frame["a_ns"].to_numpy(float)
    assert found.frame["limit"].to_numpy(float) == pytest.approx(shares)
    assert found.margins.to_numpy(float) == pytest.approx(shares.clip(0.05))


def test_nothing_comparable_is_5(tmp_path: Path) -> None:
    none = replace(QUIET, series=(replace(FULL, endings={512: OOM, 1024: OOM}),))
    stored, now = run(tmp_path / "stored", none), run(tmp_path / "now", none)
    assert check(now, "--baseline", stored)[0] == 5


def test_the_policy_of_the_suite_counts_and_the_command_line_more(tmp_path: Path) -> None:
    stored = run(tmp_path / "stored", QUIET)
    now = run(tmp_path / "now", SLOW, {"time": {"severity": "fail"}, "memory": {"severity": "warn"}})
    assert check(now, "--baseline", stored)[0] == 1
    assert check(now, "--baseline", stored, "--severity", "time=warn")[0] == 0


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--limit", "work=5%", "expected METRIC=LIMIT with one of time, memory, found work=5%"),
        ("--limit", "time", "found time"),
        ("--severity", "time=sometimes", 'expected one of fail, warn, ignore, found "sometimes"'),
        ("--limit", "memory=5 apples", 'a size such as "1MiB"'),
    ],
)
def test_a_policy_that_is_none_is_one_clear_error(tmp_path: Path, option: str, value: str, told: str) -> None:
    stored = run(tmp_path / "stored", QUIET)
    code, output = check(stored, "--baseline", stored, option, value)
    assert code == 2
    assert told in output


def test_a_suite_may_hold_a_policy() -> None:
    text = "name: x\nquestion: Why?\nshape: {heads: 1, head_dim: 8, seq_len: 16}\nvariants: [full]\n"
    assert parse(text).check == Check()
    found = parse(f"{text}check: {{time: {{relative: 5%, severity: fail}}, memory: {{absolute: 1MiB}}}}\n").check
    assert found.time.relative == "5%"
    assert found.time.severity == "fail"
    assert found.memory.allows(2.0**20, 0.0)
    with pytest.raises(SuiteError, match=r'check\.time\.relative: expected a percentage such as "5%", found 5'):
        parse(f"{text}check: {{time: {{relative: 5}}}}\n")


ENTRIES = {
    "time": {"relative": "10%", "severity": "fail"},
    "cases": [
        {"where": {"variant": ["local_window"]}, "time": {"relative": "40%", "absolute": "20us"}},
        {"where": {"seq_len": ["<= 512"]}, "time": {"severity": "warn"}, "memory": {"relative": "1%"}},
        {"where": {"window": [129], "seq_len": [512]}, "time": {"relative": "20%"}},
    ],
}


def test_the_last_entry_that_matches_and_sets_a_key_holds(tmp_path: Path) -> None:
    told = json.loads((run(tmp_path / "run", QUIET) / "run.json").read_text())["cases"]
    policies = Check.model_validate(ENTRIES).by_case({each["key"]: Case.from_json(each) for each in told})
    found = {(each["variant"], each["seq_len"]): policies[each["key"]] for each in told}
    times = {place: (each.time.relative, each.time.absolute, each.time.severity) for place, each in found.items()}
    assert times == {
        ("full", 512): ("10%", "0ns", "warn"),
        ("full", 1024): ("10%", "0ns", "fail"),
        ("local_window", 512): ("20%", "20us", "warn"),
        ("local_window", 1024): ("40%", "20us", "fail"),
    }
    assert {n: found["full", n].memory.relative for n in (512, 1024)} == {512: "1%", 1024: "0%"}
    assert all(each.work == Check().work for each in found.values())


def test_a_suite_keeps_its_entries_and_needs_no_key_without_them() -> None:
    text = "name: x\nquestion: Why?\nshape: {heads: 1, head_dim: 8, seq_len: [16, 32]}\nvariants: [full]\n"
    suite = parse(text + "check: {cases: [{where: {seq_len: '< 20'}, time: {relative: 30%}}]}\n")
    assert from_dict(json.loads(json.dumps(suite.to_json()))).check == suite.check
    assert Check.model_validate(json.loads(json.dumps(suite.to_json()))["check"]) == suite.check
    assert {case.setting.shape.seq_len for case in suite.cases()} == {16, 32}, "nothing is left out"
    assert "cases" not in parse(text).to_json()["check"]


@pytest.mark.parametrize(
    ("where", "options", "code"),
    [
        pytest.param({"variant": ["full"]}, (), 1, id="another-case"),
        pytest.param({"variant": ["local_window"]}, (), 0, id="the-slow-ones"),
        pytest.param({"variant": ["local_window"], "seq_len": [">= 1024"]}, (), 1, id="one-of-the-slow-ones"),
        pytest.param({"mine": [1], "variant": ["not_here"]}, (), 1, id="a-variant-that-is-not-here"),
        pytest.param({"variant": ["local_window"]}, ("--limit", "time=10%"), 1, id="the-command-line-holds-for-all"),
    ],
)
def test_a_noisy_case_may_have_a_limit_of_its_own(
    tmp_path: Path, where: dict[str, list[object]], options: tuple[str, ...], code: int
) -> None:
    entry = {"where": where, "time": {"relative": "50%"}}
    policy = {"time": {"relative": "10%", "severity": "fail"}, "cases": [entry]}
    stored, now = run(tmp_path / "stored", QUIET), run(tmp_path / "now", SLOW, policy)
    found, output = check(now, "--baseline", stored, "--out", tmp_path / "out", *options)
    assert found == code
    told = json.loads((tmp_path / "out" / "comparison.json").read_text())["cases"]
    matched = ["variant" in where and each["label"].startswith(str(where["variant"][0])) for each in told]
    long = [each["seq_len"] >= 1024 or "seq_len" not in where for each in told]
    wide = [all(each) and not options for each in zip(matched, long, strict=True)]
    assert [each["limit"] for each in told] == [0.5 if each else 0.1 for each in wide]
    shown = (tmp_path / "out" / "comparison.md").read_text()
    assert shown.count("time fail above 50%") == 2 * sum(wide), "in the first table and in that of all cases"
    assert output.count("limit: time fail above 50%") == sum(wide), "on the terminal"


def test_the_command_line_replaces_what_entries_set() -> None:
    policy = policy_of({**STRICT.model_dump(), "cases": Check.model_validate(ENTRIES).cases}, (), ())
    assert policy.time == STRICT.time
    assert len(policy.cases) == 3
    without = policy_of({**STRICT.model_dump(), "cases": policy.cases}, ("time=5%",), ("time=warn", "memory=fail"))
    assert [[*each] for each in without.cases] == [["where", "memory"]]


def test_limits_are_the_larger_of_share_and_amount() -> None:
    time = TimeLimit(relative="10%", absolute="50us")
    assert time.allows(1.1, 1e6)
    assert not time.allows(1.11, 1e6)
    assert time.allows(2.0, 50_000)
    assert not time.allows(2.0, float("nan")), "without a stored time, only the share counts"
    memory = MemoryLimit(relative="1%", absolute="1KiB")
    assert memory.allows(1024, 0)
    assert not memory.allows(1025, 0)
    assert memory.allows(1_010_000, 1_000_000)


def test_operators_are_compared_where_both_were_profiled(tmp_path: Path) -> None:
    folders = run(tmp_path / "a", QUIET), run(tmp_path / "b", replace(QUIET, seed=1))
    key = load(folders[0]).frame["case"].iloc[0]
    for folder, copies in zip(folders, (1.0, 2.0), strict=True):
        operators = (Operator("aten::copy_", copies, 10.0, None, 0.0), Operator("aten::mm", 1.0, 5.0, None, 0.0))
        told = Profile(key, Status.PASSED, "", "one", calls=1, call_ns=20.0, operators=operators)
        (folder / "profile.jsonl").write_text(json.dumps(told.to_json()) + "\n")
    a, b = map(load, folders)
    found = compare(a, b)
    row = found.frame[found.frame["case"] == key].iloc[0]
    assert (row["operators"], row["operators_changed"]) == ("regressed", "aten::copy_ 1 to 2")
    assert set(found.frame[found.frame["case"] != key]["operators"]) == {"incomparable"}
    assert check(folders[1], "--baseline", folders[0])[0] == 1


# --- baselines


def test_a_baseline_is_saved_listed_shown_checked_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    stored, slow = run(tmp_path / "stored", QUIET), run(tmp_path / "slow", SLOW)
    assert bench("baseline", "save", "main", stored)[0] == 0
    assert [path.name for path in Path("baselines").iterdir()] == ["main.tar.gz"]
    assert bench("baseline", "list")[1].startswith("main  ")
    code, output = bench("baseline", "show", "main")
    assert code == 0
    assert "Example CPU" in output
    assert "local_window" in output
    assert check(slow, "--baseline", "main", "--severity", "time=fail")[0] == 1
    assert check(slow, "--baseline", "baselines/main.tar.gz", "--severity", "time=fail")[0] == 1
    assert bench("baseline", "save", "main", slow)[0] == 2, "the name is taken"
    assert bench("baseline", "save", "main", slow, "--replace")[0] == 0
    assert check(slow, "--baseline", "main", "--severity", "time=fail")[0] == 0
    assert bench("baseline", "rm", "main")[0] == 0
    code, output = check(slow, "--baseline", "main")
    assert code == 2
    assert "expected a baseline or the folder of a run, found none; in baselines there are: none" in output


@pytest.mark.parametrize("name", ["main", "baselines/main.tar.gz"])
def test_a_check_calls_the_baseline_what_the_user_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    run(Path("stored"), QUIET)
    run(Path("now"), SLOW)
    assert bench("baseline", "save", "main", "stored")[0] == 0
    assert check("now", "--baseline", name, "--out", "out")[0] == 0
    told = json.loads(Path("out/comparison.json").read_text())
    assert (told["a"], told["b"]) == (name, "now")
    assert Path("out/comparison.md").read_text().startswith(f"# now against {name}\n")
    drawn = "".join(path.read_text() for path in Path("out/figures").glob("*.svg"))
    assert f"A: {name}. B: now." in drawn
    assert "attnbench-" not in drawn


def test_a_list_says_what_each_baseline_holds_on_a_line_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small = replace(QUIET, lengths=(512,))
    for name, plan, commit in (("main", QUIET, "0123456789abcdef"), ("a-longer-name", small, None)):
        bench("baseline", "save", name, run(tmp_path / name, plan, commit=commit, cpu="A CPU " + "x" * 100, cores=64))
    code, output = bench("baseline", "list")
    assert code == 0
    longer, main = output.splitlines()
    assert main.startswith("main  ")
    assert longer.startswith("a-longer-name  ")
    for told in ("2026-01-02 03:04", "A CPU xxx", "64 cores", " cases  ", " KiB"):
        assert main.index(told) == longer.index(told)
    assert "4 cases" in main
    assert "2 cases" in longer
    assert "0123456789ab " in main
    assert max(map(len, (main, longer))) < 130


def test_a_list_names_a_baseline_that_cannot_be_read_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    saved = baselines.save(run(tmp_path / "run", QUIET), "main", Path("baselines"))
    (Path("baselines") / "cut.tar.gz").write_bytes(saved.path.read_bytes()[:500])
    (Path("baselines") / "gone.tar.gz").symlink_to("nowhere")
    (Path("baselines") / "folder.tar.gz").mkdir()
    other = run(tmp_path / "other", QUIET)
    told = json.loads((other / "run.json").read_text()) | {"format": 99}
    (other / "run.json").write_text(json.dumps(told))
    with tarfile.open(Path("baselines") / "newer.tar.gz", "w:gz") as archive:
        archive.add(other / "run.json", "run.json")
    code, output = bench("baseline", "list")
    assert code == 0
    lines = {line.split()[0]: line for line in output.splitlines()}
    assert [*lines] == ["cut", "folder", "gone", "main", "newer"]
    assert {name for name, line in lines.items() if "cannot be read: expected" in line} == {*lines} - {"main"}
    assert "expected format 1 or 2, found 99" in lines["newer"]
    assert str(tmp_path) not in output
    code, output = bench("baseline", "list", "--store", "nothing-here")
    assert (code, output.partition(":")[0]) == (0, "nothing-here")


def test_the_same_run_gives_the_same_bytes_and_comes_back_whole(tmp_path: Path) -> None:
    folder = run(tmp_path / "run", QUIET)
    one, other = (baselines.save(folder, name, tmp_path / "store") for name in ("one", "other"))
    assert one.path.read_bytes() == other.path.read_bytes()
    assert one.size < sum(path.stat().st_size for path in folder.iterdir()) / 3
    with baselines.opened("one", tmp_path / "store") as back:
        assert back.frame.equals(load(folder).frame)


@pytest.mark.parametrize("to", ["run.json", "nowhere", "/etc/passwd"])
@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_links_of_an_archive_are_not_followed(tmp_path: Path, kind: bytes, to: str) -> None:
    entry = tarfile.TarInfo("run.json")
    entry.type, entry.linkname = kind, to
    with tarfile.open(tmp_path / "bad.tar.gz", "w:gz") as archive:
        archive.addfile(entry)
    code, output = check(run(tmp_path / "run", QUIET), "--baseline", tmp_path / "bad.tar.gz")
    assert code == 2
    assert output.count("\n") == 1


def test_what_was_not_finished_is_no_baseline(tmp_path: Path) -> None:
    folder = run(tmp_path / "run", QUIET)
    rows = (folder / "samples.jsonl").read_text().splitlines(keepends=True)
    (folder / "samples.jsonl").write_text("".join(rows[:3]))
    with pytest.raises(RunError, match=r"expected a finished run, found \d of 4 cases that were not reached"):
        baselines.save(folder, "main", tmp_path / "store")
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("name", ["../evil", "a/b", "", ".hidden", "x" * 65])
def test_a_name_stays_within_the_store(tmp_path: Path, name: str) -> None:
    with pytest.raises(RunError, match="expected a name of letters"):
        baselines.save(run(tmp_path / "run", QUIET), name, tmp_path / "store")


def test_nothing_else_is_unpacked(tmp_path: Path) -> None:
    folder = run(tmp_path / "run", QUIET)
    saved = baselines.save(folder, "good", tmp_path)
    (tmp_path / "evil").write_text("evil")
    with tarfile.open(saved.path, "w:gz") as archive:
        archive.add(folder / "run.json", "run.json")
        archive.add(tmp_path / "evil", "../../escaped")
        archive.add(tmp_path / "evil", "extra.py")
    with baselines.opened("good", tmp_path) as back:
        assert [path.name for path in back.folder.iterdir()] == ["run.json"]
        assert not (back.folder.parent.parent / "escaped").exists()


@pytest.mark.parametrize("name", ["runs/befor", "befor"])
def test_a_baseline_that_is_not_there_is_one_clear_error(tmp_path: Path, name: str) -> None:
    baselines.save(run(tmp_path / "run", QUIET), "before", tmp_path / "store")
    with pytest.raises(RunError, match="expected a baseline or the folder of a run, found none; .* are: before"):
        baselines.opened(name, tmp_path / "store").__enter__()


def test_a_name_means_the_store_whatever_lies_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    stored = run(tmp_path / "stored", QUIET)
    assert bench("baseline", "save", "main", stored)[0] == 0
    (tmp_path / "main").mkdir()
    assert check(stored, "--baseline", "main")[0] == 0


@pytest.mark.parametrize("spoil", ["rubbish", "damage"])
def test_a_file_that_is_no_baseline_is_one_clear_error(tmp_path: Path, spoil: str) -> None:
    content = bytearray(b"no archive")
    if spoil == "damage":
        saved = baselines.save(run(tmp_path / "stored", QUIET), "main", tmp_path / "store", replace=False).path
        content = bytearray(saved.read_bytes())
        middle = slice(len(content) // 2, len(content) // 2 + 64)
        content[middle] = bytes(255 - each for each in content[middle])
    (tmp_path / "bad.tar.gz").write_bytes(content)
    code, output = check(run(tmp_path / "run", QUIET), "--baseline", tmp_path / "bad.tar.gz")
    assert code == 2
    assert "expected a baseline, found something else" in output
    assert output.count("\n") == 1


# --- forms


def test_annotations_are_the_worst_ten(tmp_path: Path) -> None:
    many = tuple(range(512, 512 + 64 * 12, 64))
    a, b = (replace(plan, lengths=many, series=plan.series[1:]) for plan in (QUIET, SLOW))
    found = compare(load(run(tmp_path / "a", a)), load(run(tmp_path / "b", b)))
    lines = forms.annotations(held(found, STRICT)).splitlines()
    assert len(lines) == 10
    assert all(line.startswith("::error title=time regressed::local_window(window=129)/blockwise N=") for line in lines)


def test_where_nothing_is_compared_nobody_reads_that_nothing_is_worse(tmp_path: Path) -> None:
    gone = replace(QUIET, series=(replace(FULL, endings=dict.fromkeys(QUIET.lengths, (Status.FAILED, "no"))),))
    found = compare(load(run(tmp_path / "a", gone)), load(run(tmp_path / "b", gone)))
    assert forms.headline(found) == "Nothing could be compared: 2 cases are incomparable."
    assert forms.annotations(found) == f"::warning title=attnbench::{forms.headline(found)}\n"


def test_annotations_are_escaped(tmp_path: Path) -> None:
    lost = replace(QUIET, series=(FULL, replace(LOCAL, endings={1024: (Status.CRASHED, "50% of\nit::error::died")})))
    found = compared(tmp_path, lost)
    text = forms.annotations(held(found, STRICT))
    assert text.count("\n") == 1
    assert "50%25 of it::error::died" in text


def test_a_summary_and_a_comment_fit_and_lead_with_what_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = compared(tmp_path, SLOW)
    found = held(found, STRICT)
    body = forms.comment(found)
    assert body.startswith(f"{forms.marker(found)}\n### attnbench (synthetic): 2 findings that fail, 0 that warn.")
    monkeypatch.setattr(forms, "SUMMARY_BYTES", 2**15)
    monkeypatch.setattr(forms, "COMMENT_CHARACTERS", 2**13)
    huge = replace(found, frame=found.frame.loc[found.frame.index.repeat(100)].reset_index(drop=True))
    assert len(forms.comment(held(huge, STRICT))) < forms.COMMENT_CHARACTERS
    summary = forms.summary(held(huge, STRICT))
    assert len(summary.encode()) < forms.SUMMARY_BYTES
    assert "more cases, none worse than these, are left out" in summary
    assert re.search(r"^- and \d+ more$", summary, re.MULTILINE), "so are findings"


def test_each_suite_has_a_comment_of_its_own(tmp_path: Path) -> None:
    found = compared(tmp_path, SLOW)
    names = ("one", "two", "one-more", "", "x --> <b>\n")
    told = [forms.comment(replace(found, suite=name)).splitlines()[0] for name in names]
    assert told[:3] == [f"<!-- attnbench: {name} -->" for name in names[:3]]
    assert len(set(told)) == len(names)
    assert [each.count("-->") for each in told] == [1] * len(names)


def test_every_finding_of_a_case_is_named(tmp_path: Path) -> None:
    one = replace(QUIET, lengths=(1024,), series=(LOCAL,))
    both = replace(one, seed=1, series=(replace(LOCAL, at_1024_ns=1.3e6, bytes_at_1024=2**24),))
    found = compare(load(run(tmp_path / "a", one)), load(run(tmp_path / "b", both)))
    text = forms.summary(held(found, STRICT))
    assert text.startswith("### attnbench (synthetic): 2 findings that fail, 0 that warn.")
    assert text.count("- **fail**") == 2


def test_peaks_that_read_alike_are_told_in_bytes(tmp_path: Path) -> None:
    more = replace(QUIET, seed=1, series=(FULL, replace(LOCAL, bytes_at_1024=2**23 + 64)))
    told = [each.told for each in held(compared(tmp_path, more), STRICT).findings or () if each.metric == "memory"]
    assert sorted(told) == ["4,194,304 B to 4,194,336 B", "8,388,608 B to 8,388,672 B"]


def test_a_strict_check_wants_times_that_can_be_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    elsewhere = run(tmp_path / "elsewhere", QUIET, cpu="another")
    here = run(tmp_path / "here", QUIET)
    code, output = check(here, "--baseline", elsewhere)
    assert code == 0
    assert "No time was compared." in output
    code, output = check(here, "--baseline", elsewhere, "--strict")
    assert code == 4
    assert output.splitlines()[-1].endswith("which --strict does not let pass")
    assert check(here, "--baseline", elsewhere, "--strict", "--format", "github")[1].startswith(
        "::error title=attnbench::4 of 4 times are not decided: 4 incomparable"
    )
    assert check(here, "--baseline", elsewhere, "--strict", "--severity", "time=ignore")[0] == 0


def test_every_finding_is_on_the_terminal_with_what_it_means(tmp_path: Path) -> None:
    output = check(run(tmp_path / "b", SLOW), "--baseline", run(tmp_path / "a", QUIET))[1]
    assert [line.split()[1:3] for line in output.splitlines() if line.startswith(" warn")] == [
        ["regressed", "local_window(window=129)/blockwise"]
    ] * 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--severity", "time=boom"), '--severity time: expected one of fail, warn, ignore, found "boom"'),
        (("--limit", "memory=1foo"), "--limit memory: expected a size"),
        (("--limit", "time=-5%"), "--limit time: expected a percentage"),
    ],
)
def test_a_mistake_in_a_policy_names_its_option(tmp_path: Path, words: tuple[str, str], told: str) -> None:
    folder = run(tmp_path / "run", QUIET)
    code, output = check(folder, "--baseline", folder, *words)
    assert code == 2
    assert told in output


def junit(found: Comparison) -> ElementTree.Element:
    """The test suite of a comparison, of the form that CI systems read."""
    suite = ElementTree.fromstring(forms.junit(found))
    assert suite.tag == "testsuite"
    assert {*suite.attrib} == {"name", "tests", "failures", "errors", "skipped"}
    tests = suite.findall("testcase")
    assert len(tests) == len(suite) == int(suite.attrib["tests"])
    assert len({(each.attrib["classname"], each.attrib["name"]) for each in tests}) == len(tests)
    for each in tests:
        assert {*each.attrib} == {"classname", "name"}
        *outcome, output = [below.tag for below in each]
        assert output == "system-out"
        assert outcome in ([], ["failure"], ["error"], ["skipped"])
    for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert int(suite.attrib[name]) == sum(each.find(tag) is not None for each in tests)
    return suite


def outcomes(suite: ElementTree.Element, metric: str) -> list[str]:
    """How the tests of a metric ended, in the order of words."""
    of = [each for each in suite if each.attrib["classname"] == f"attnbench.{metric}"]
    return sorted(next((below.tag for below in each if below.tag != "system-out"), "passed") for each in of)


def test_junit_has_a_test_for_each_metric_and_skips_only_what_is_open(tmp_path: Path) -> None:
    found = compared(tmp_path, replace(QUIET, seed=1, process_sd=0.2))
    assert set(found.frame["verdict"]) == {"inconclusive"}
    suite = junit(held(found, STRICT))
    assert outcomes(suite, "time") == ["skipped"] * 4
    for metric in ("memory", "work", "error"):
        assert outcomes(suite, metric) == ["passed"] * 4
    assert outcomes(suite, "operators") == [], "nothing was profiled"


def test_junit_skips_what_has_nothing_to_compare(tmp_path: Path) -> None:
    fat = run(tmp_path / "b", replace(FAT, lengths=(1024,)), cpu="Another")
    found = compare(load(run(tmp_path / "a", replace(QUIET, lengths=(1024,)))), load(fat))
    assert set(found.frame["verdict"]) == {"incomparable"}
    suite = junit(held(found, STRICT))
    assert outcomes(suite, "time") == ["skipped"] * 2
    assert outcomes(suite, "memory") == ["failure", "passed"]


def test_junit_counts_failures_and_errors(tmp_path: Path) -> None:
    plan = replace(
        SLOW, series=(replace(FULL, endings={512: (Status.CRASHED, "killed \x00 by <SIGSEGV>")}), SLOW.series[1])
    )
    found = compared(tmp_path, plan)
    suite = junit(held(found, STRICT))
    assert outcomes(suite, "time") == ["error", "failure", "failure", "passed"]
    assert outcomes(suite, "work") == ["passed"] * 3, "a lost case has one test"
    error = suite.find("testcase/error")
    assert error is not None
    assert error.attrib["type"] == "error"
    assert "<SIGSEGV>" in error.attrib["message"]


def test_junit_has_no_tests_of_what_is_ignored_and_passes_what_only_warns(tmp_path: Path) -> None:
    found = compared(tmp_path, SLOW)
    suite = junit(held(found, Check.model_validate({"work": {"severity": "ignore"}})))
    assert outcomes(suite, "work") == []
    assert outcomes(suite, "time") == ["passed"] * 4, "times warn"


def test_github_writes_the_step_summary_and_the_comment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    stored, now = run(tmp_path / "stored", QUIET), run(tmp_path / "now", FAT)
    code, output = check(now, "--baseline", stored, "--format", "github", "--out", tmp_path / "out")
    assert code == 1
    assert output.startswith("::error title=memory regressed::")
    assert (tmp_path / "summary.md").read_text().startswith("### attnbench (synthetic): 2 findings that fail")
    assert (tmp_path / "out" / "comment.md").read_text().startswith("<!-- attnbench: synthetic -->\n")
