"""Two revisions: how they are laid out, whose code is imported, and what is made of what was measured."""

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import commands
import pytest
from click.testing import CliRunner
from folders import forgotten

from attnbench.reports.compare import between_revisions, forms, tables
from attnbench.reports.compare.answer import notes
from attnbench.reports.compare.gate import STRICT as EVERYTHING
from attnbench.reports.data.reading import RunError
from attnbench.reports.decision import decide
from attnbench.reports.decision.rule import Verdict
from attnbench.runner.ab import measure as measuring
from attnbench.runner.ab import paired_timing, revisions, sides
from attnbench.runner.ab.live_pair import Pair
from attnbench.runner.ab.paired_timing import Stages
from attnbench.runner.ab.revisions import RevisionError
from attnbench.runner.ab.sides import Side
from attnbench.runner.cli import main
from attnbench.runner.cli.policy import policy_of
from attnbench.runner.execution.json_lines import Book
from attnbench.runner.workers import prober
from attnbench.runner.workers.worker import NotStarted
from attnbench.suites import Case, Probe, Status
from attnbench.suites.schema.load import parse

KERNEL = """
def attend(q, k, v):
    from torch.nn.functional import scaled_dot_product_attention

    out = scaled_dot_product_attention(q, k, v)
    {more}
    return out
"""
VARIANT = '''
"""Attention of the user's own library."""

from attnbench.variants import Variant
from attnbench.variants.full import Full
from attnbench.variants.kernels import Program


def build(pattern, setting):
    """The user's kernel."""
    from mylib.kernel import attend

    return Program(attend)


VARIANT = Variant(Full, source="none", build=build)
'''
SUITE = """
name: mine
question: Did my kernel get slower?
shape: {batch: 1, heads: 1, head_dim: 8, seq_len: 32}
variants: [mine, full]
"""


def git(folder: Path, *words: str) -> str:
    names = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    command = ["git", "-C", str(folder), *names, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def commit(folder: Path, message: str) -> str:
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", message)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A library with a kernel; `slow` computes it four times over, `broken` raises."""
    folder = tmp_path / "repository"
    (folder / "src" / "mylib").mkdir(parents=True)
    (folder / "bench").mkdir()
    kernel = folder / "src" / "mylib" / "kernel.py"
    (folder / "src" / "mylib" / "__init__.py").write_text("")
    (folder / "bench" / "mine.py").write_text(VARIANT)
    (folder / "mine.yaml").write_text(SUITE)
    git(tmp_path, "init", "-q", "-b", "main", str(folder))
    for branch, more in (
        ("main", "pass"),
        ("slow", "out = sum(scaled_dot_product_attention(q, k, v) for _ in range(40)) / 40"),
        ("broken", "raise ValueError('no such kernel')"),
    ):
        git(
            folder, "checkout", "-q", *(["-b", branch] if branch != "main" else []), "main"
        ) if branch != "main" else None
        kernel.write_text(KERNEL.format(more=more))
        commit(folder, branch)
    git(folder, "checkout", "-q", "main")
    return folder


def test_revisions_are_laid_out_side_by_side(repository: Path, tmp_path: Path) -> None:
    (repository / "untracked").write_text("mine")
    before = git(repository, "status", "--porcelain"), git(repository, "worktree", "list")
    a, b = revisions.lay_out(repository, ("main", "slow"), tmp_path / "trees")
    assert len(str(a.tree)) == len(str(b.tree)), "paths of equal length"
    assert "pass" in (a.tree / "src" / "mylib" / "kernel.py").read_text()
    assert "range(40)" in (b.tree / "src" / "mylib" / "kernel.py").read_text()
    assert not (a.tree / "untracked").exists()
    assert a.commit == git(repository, "rev-parse", "main")
    assert (git(repository, "status", "--porcelain"), git(repository, "worktree", "list")) == before
    assert sorted(path.name for path in (tmp_path / "trees").iterdir()) == ["a", "b"]


def test_no_such_revision_or_repository_is_one_clear_error(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(RevisionError, match="nowhere: expected a revision of .*, found none; fetch it"):
        revisions.lay_out(repository, ("nowhere", "main"), tmp_path / "trees")
    with pytest.raises(RevisionError, match="not a git repository"):
        revisions.top(tmp_path)


def test_what_is_not_committed_is_seen(repository: Path) -> None:
    assert not revisions.changed(repository)
    (repository / "mine.yaml").write_text("changed")
    assert revisions.changed(repository)


def test_prepare_runs_in_the_tree_and_a_failure_is_told(repository: Path, tmp_path: Path) -> None:
    a, _ = revisions.lay_out(repository, ("main", "main"), tmp_path / "trees")
    revisions.prepare(a, f"{sys.executable} -c \"open('built', 'w').close()\"")
    assert (a.tree / "built").exists()
    with pytest.raises(RevisionError, match="exit code 1 at main; it printed nothing"):
        revisions.prepare(a, "false")
    with pytest.raises(RevisionError, match="exit code 3 at main; its output:\nno compiler"):
        revisions.prepare(a, f"{sys.executable} -c \"print('no compiler'); raise SystemExit(3)\"")
    for command in ("no-such-program-anywhere", "", "'unclosed"):
        with pytest.raises(RevisionError, match="expected a command that ends well"):
            revisions.prepare(a, command)
    revisions.prepare(a, f'{sys.executable} -c "import os; os.write(1, bytes([255]))"')


def bench(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "attnbench.runner", *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


WORDS = ("--suite", "mine.yaml", "--path", "src", "--variants", "bench")


def measured(repository: Path, base: str, head: str, *options: str) -> tuple[int, dict[str, dict[str, Any]], str]:
    """The exit code, each variant's row, and what was said."""
    done = bench("ab", base, head, *WORDS, "--out", f"{base}-{head}", *options, cwd=repository)
    path = repository / f"{base}-{head}" / "comparison.json"
    told = json.loads(path.read_text())["cases"] if path.exists() else []
    return done.returncode, {row["label"]: row for row in told}, done.stdout + done.stderr


@pytest.mark.slow
def test_a_slower_kernel_is_found_and_what_is_installed_is_not_timed(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In fewer pairs than are usual, for B is many times slower; beside other work the same code may differ too."""
    monkeypatch.setattr(decide, "Rule", partial(decide.Rule, screen_pairs=3, confirm_pairs=3))
    monkeypatch.chdir(repository)
    with forgotten():
        code, said = commands.bench("ab", "main", "slow", *WORDS, "--out", "main-slow")
    told = json.loads((repository / "main-slow" / "comparison.json").read_text())["cases"]
    rows = {row["label"]: row for row in told}
    assert code == 1, said
    assert rows["mine"]["verdict"] == "regressed" or rows["mine"]["reason"].startswith("regressed, but the same"), said
    assert rows["mine"]["ratio"] > 2
    assert (rows["full"]["verdict"], rows["full"]["reason"]) == ("incomparable", between_revisions.UNTOUCHED)
    assert rows["full"]["ratio"] is None
    assert rows["mine"]["memory"] == "regressed", "a sum holds two outputs at once"
    assert not list(repository.glob("main-slow/*.index"))


def test_a_broken_kernel_is_a_lost_case(repository: Path) -> None:
    code, rows, said = measured(repository, "main", "broken")
    assert code == 3, said
    assert rows["mine"]["verdict"] == "error"
    assert "ValueError: no such kernel" in rows["mine"]["reason"]


def test_the_same_revision_twice_is_not_timed(repository: Path) -> None:
    code, rows, said = measured(repository, "main", "main")
    assert code == 0, said
    assert {row["reason"] for row in rows.values()} == {between_revisions.IDENTICAL, between_revisions.UNTOUCHED}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nowhere", "main"), "nowhere: expected a revision"),
        (("main", "slow", "--path", "lib"), "--path lib: expected a folder of main, seen from its top, found none"),
        (("main", "slow", "--path", ".."), "--path ..: expected a folder of main, seen from its top, found none"),
        (("main", "slow", "--suite", "none.yaml"), "none.yaml: expected the file of a suite"),
        (("main", "slow", "--severity", "operators=warn"), "operators=warn: nothing is profiled here; bench check"),
    ],
)
def test_a_mistake_is_one_line(
    repository: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], told: str
) -> None:
    monkeypatch.chdir(repository)
    code, said = commands.bench("ab", *words)
    assert code == 2
    assert told in said


def test_code_that_no_case_imports_is_not_compared(repository: Path) -> None:
    """Else the installation would be measured against itself, and found unchanged."""
    (repository / "full.yaml").write_text(SUITE.replace("[mine, full]", "[full]"))
    done = bench("ab", "main", "slow", "--suite", "full.yaml", "--path", "src", cwd=repository)
    assert done.returncode == 2
    assert "--path src: expected the folder that the code under test is imported from" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_projects_own_variants_come_from_the_revision_and_what_measures_does_not(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name, text in (
        ("variants/__init__.py", "mark = 'revision'"),
        ("runner/__init__.py", "raise ImportError('the runner of the revision')"),
        ("suites/__init__.py", "raise ImportError('the suites of the revision')"),
    ):
        (root / "attnbench" / name).parent.mkdir(parents=True)
        (root / "attnbench" / name).write_text(text)
    code = """
import sys
from pathlib import Path
import attnbench.variants
from attnbench.runner.worker import entry
sys.modules.pop("attnbench.suites", None)
try:
    entry.put_first(Path(sys.argv[1]))
except ImportError as error:
    print(error)
print(attnbench.variants.__file__.startswith(sys.argv[1]), sys.modules["attnbench.variants"].mark)
"""
    done = subprocess.run([sys.executable, "-c", code, str(root)], capture_output=True, text=True, check=False)
    assert "of the revision'" not in done.stdout
    assert done.stdout.splitlines()[-1].endswith("revision"), done.stdout + done.stderr


class Stand:
    """A worker that answers at once, or cannot be started."""

    def __init__(self, *, ready: bool) -> None:
        self.ready = ready
        self.asked: list[dict[str, Any]] = []

    def __enter__(self) -> "Stand":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is left behind."""

    def wait(self) -> None:
        if not self.ready:
            raise NotStarted("killed while starting")

    def ask(self, request: dict[str, Any], patience_s: float, heard: object = None) -> Any:
        del patience_s
        self.asked.append(request)
        if request["do"] == "probe":
            return Probe(Case.from_json(request["case"]).key, Status.PASSED, "", call_ns=1e6).to_json()
        return 1000 if request["do"] == "free_bytes" else {"mylib.py": "00"}


def side(tmp_path: Path) -> Side:
    return Side("A", revisions.Revision("main", "0" * 40, tmp_path), tmp_path)


def test_two_sides_share_the_memory_of_a_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand = Stand(ready=True)
    monkeypatch.setattr(sides, "Worker", lambda *given, **named: stand)
    suite = parse(SUITE.replace("[mine, full]", "[full]") + "device: cuda\n", "mine.yaml")
    measuring._probe(side(tmp_path), suite.cases()[0], suite.budget, 0, ())
    asked = next(each for each in stand.asked if each["do"] == "probe")
    assert asked["budget_bytes"] == 0.8 * 1000 / 2


def test_a_worker_that_cannot_start_blames_no_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Stand] = []

    def start(*given: Any, **named: Any) -> Stand:
        del given, named
        tried.append(Stand(ready=False))
        return tried[-1]

    monkeypatch.setattr(sides, "Worker", start)
    suite = parse(SUITE.replace("[mine, full]", "[full]"), "mine.yaml")
    with pytest.raises(NotStarted):
        measuring._probe(side(tmp_path), suite.cases()[0], suite.budget, 0, ())
    assert len(tried) == 2


def test_an_intended_change_is_let_through() -> None:
    policy = policy_of(EVERYTHING.model_dump(), ("memory=10%",), ("work=warn",))
    assert policy.memory.allows(109, 100)
    assert not EVERYTHING.memory.allows(109, 100)
    assert policy.severity("work") == "warn"
    assert policy.severity("time") == "fail"


def test_an_entry_of_the_suite_lets_a_change_of_its_cases_through(tmp_path: Path) -> None:
    def asked(limit: str, seq_len: int) -> Callable[[dict[str, Any]], object]:
        entry = {"where": {"variant": ["full"], "seq_len": [seq_len]}, "time": {"relative": limit}}
        return lambda row: row.get("policy", {}).update({"cases": [entry]})

    n = case().setting.shape.seq_len
    for name, limit, seq_len, failing in (("wide", "20%", n, 0), ("narrow", "5%", n, 1), ("other", "20%", n + 1, 1)):
        folder = written(tmp_path / name, [*SLOWER, *QUIET], asked(limit, seq_len))
        assert commands.bench("report", folder)[0] == 0
        told = json.loads((folder / "comparison.json").read_text())
        assert len(told["findings"]) == failing, name
        assert told["cases"][0]["verdict"] == "regressed"
        assert told["cases"][0]["limit"] == (float(limit[:-1]) / 100 if seq_len == n else 0)


# --- what is made of the rows


def case(variant: str = "full") -> Case:
    return parse(SUITE.replace("[mine, full]", f"[{variant}]")).cases()[0]


def passed(each: Case) -> Probe:
    return Probe(
        each.key,
        Status.PASSED,
        "",
        call_ns=1000,
        peak_bytes=100,
        allowed_pairs=10,
        computed_pairs=10,
        max_abs_error=1e-7,
    )


def written(
    folder: Path, pairs: list[dict[str, Any]], change: Callable[[dict[str, Any]], object] = lambda row: None
) -> Path:
    """The rows of a comparison of one case; `change` may alter any of them."""
    key = case().key
    probe = passed(case())
    names = {"A": {"name": "main", "commit": "0" * 40}, "B": {"name": "HEAD", "commit": "1" * 40}}
    told: list[dict[str, Any]] = [
        {
            "kind": "environment",
            "facts": {},
            "pairs": {"screen": 5, "confirm": 12},
            "revisions": names,
            "command": "bench ab main",
            "policy": EVERYTHING.model_dump(mode="json"),
            "cases": [{"key": key, "label": "full", **case().flat()}],
        },
        *({"kind": "probe", "arm": arm, "probe": probe.to_json(), "imports": {"mylib.py": "0"}} for arm in "AB"),
        *({"kind": "pair", "ended": {}, **pair} for pair in pairs),
        {"kind": "finished"},
    ]
    for row in told:
        change(row)
    folder.mkdir(exist_ok=True)
    (folder / between_revisions.ROWS).write_text("".join(json.dumps(row) + "\n" for row in told))
    return folder


def pairs(stage: str, *ratios: float) -> list[dict[str, Any]]:
    return [{"stage": stage, "pair": number, "ratios": {case().key: ratio}} for number, ratio in enumerate(ratios)]


SLOWER = [*pairs("screen", *[0.1, 0.11, 0.09, 0.1, 0.1]), *pairs("confirm", *[0.1, 0.11] * 6)]
QUIET = pairs("same", 0.001, -0.002, 0.003, 0.0, 0.001)
LOUD = pairs("same", 0.051, 0.048, 0.05, 0.04, 0.061)
SCATTERED = pairs("same", 0.09, -0.02, 0.1, -0.01, 0.06)
"""Its mean is 4.4 %, and what a spread of 5.5 % explains."""


def test_a_confirmed_change_is_called(tmp_path: Path) -> None:
    found = between_revisions.load(written(tmp_path / "ab", [*QUIET, *SLOWER]))
    row = found.frame.iloc[0]
    assert row["verdict"] == "regressed"
    assert row["low"] < 1.11 < row["high"] * 1.01
    assert row["processes"] == 12
    assert found.noise == 0.0
    assert (found.a, found.b) == ("main (000000000000)", "HEAD (111111111111)")


def test_columns_in_which_nothing_stands_are_left_out(tmp_path: Path) -> None:
    told = tables.markdown(between_revisions.load(written(tmp_path / "ab", SLOWER)))
    assert told.splitlines()[0] == "| time | case | ratio | detectable | memory | work | error |", "times are not told"


def test_noise_demotes_what_would_be_called(tmp_path: Path) -> None:
    found = between_revisions.load(written(tmp_path / "ab", [*LOUD, *SLOWER]))
    assert found.frame.iloc[0]["verdict"] == "inconclusive"
    assert found.frame.iloc[0]["reason"] == "regressed, but the same code against itself differed by 5.1%"
    assert forms.headline(found) == "Too noisy: the same code differed by 5.1%."
    assert forms.annotations(found) == "::warning title=attnbench::Too noisy: the same code differed by 5.1%25.\n"


def test_what_the_spread_explains_is_no_noise_of_the_machine(tmp_path: Path) -> None:
    found = between_revisions.load(written(tmp_path / "ab", [*SCATTERED, *SLOWER]))
    assert found.frame.iloc[0]["verdict"] == "regressed"
    assert found.noise == 0.0
    assert "the same code against itself is not shown to differ" in notes(found)


@pytest.mark.parametrize(("arm", "verdict"), [("B", Verdict.ERROR), ("A", Verdict.INCONCLUSIVE)])
def test_a_case_that_dies_while_it_is_timed(tmp_path: Path, arm: str, verdict: Verdict) -> None:
    died = {"stage": "screen", "pair": 0, "ratios": {}, "ended": {case().key: [arm, "crashed", "SIGSEGV"]}}
    row = between_revisions.load(written(tmp_path / "ab", [died])).frame.iloc[0]
    assert row["verdict"] == verdict
    assert row["reason"] == f"while {arm} was timed: crashed: SIGSEGV"


def test_what_a_met_does_not_hide_that_b_is_slower_or_died(tmp_path: Path) -> None:
    def died(arm: str, stage: str) -> dict[str, Any]:
        return {"stage": stage, "pair": 4, "ratios": {}, "ended": {case().key: [arm, "timed_out", "no answer"]}}

    slow = between_revisions.load(written(tmp_path / "slow", [*SLOWER, died("A", "confirm")])).frame.iloc[0]
    assert slow["verdict"] == "regressed"
    both = [died("B", "screen"), died("A", "screen"), died("A again", "same")]
    assert between_revisions.load(written(tmp_path / "both", both)).frame.iloc[0]["verdict"] == "error"
    alone = between_revisions.load(
        written(tmp_path / "alone", [*pairs("screen", *[0.0] * 5), died("A", "same")])
    ).frame.iloc[0]
    assert alone["verdict"] == "unchanged"


@pytest.mark.parametrize(("sides", "reason"), [("AB", between_revisions.UNTOUCHED), ("B", between_revisions.ONE_SIDED)])
def test_a_case_that_imports_nothing_of_a_revision_says_nothing_of_it(tmp_path: Path, sides: str, reason: str) -> None:
    def without(row: dict[str, Any]) -> None:
        if row.get("arm") in [*sides]:
            row["imports"] = {}

    found = between_revisions.load(written(tmp_path / "ab", [], without))
    row = found.frame.iloc[0]
    assert (row["verdict"], row["reason"]) == ("incomparable", reason)
    assert not found.compared, "what it needs and computes is the installation's"


def test_more_memory_is_worse_whatever_the_time(tmp_path: Path) -> None:
    def more(row: dict[str, Any]) -> None:
        if row.get("arm") == "B":
            row["probe"]["peak_bytes"] = 101

    found = between_revisions.load(written(tmp_path / "ab", [], more))
    assert found.how.startswith("Both revisions were checked, and no case was timed")
    assert found.frame.iloc[0]["memory"] == "regressed"
    assert found.frame.iloc[0]["verdict"] == "unchanged"


def test_an_interrupted_comparison_says_so(tmp_path: Path) -> None:
    folder = written(tmp_path / "ab", SLOWER[:3])
    lines = (folder / between_revisions.ROWS).read_text().splitlines(keepends=True)
    (folder / between_revisions.ROWS).write_text("".join(lines[:-1]) + '{"kind": "pa')
    found = between_revisions.load(folder)
    assert notes(found)[0] == "It was interrupted: what follows is not the whole."
    assert forms.headline(found).startswith(notes(found)[0])


def test_a_comparison_whose_time_ran_out_says_so(tmp_path: Path) -> None:
    def cut(row: dict[str, Any]) -> None:
        if row["kind"] == "finished":
            row |= {"kind": "out_of_time", "suite_s": 90.0}

    cut_off = "The suite's 90 s (budget.suite_s) were spent: what follows is not the whole."
    assert between_revisions.load(written(tmp_path / "ab", SLOWER[:3], cut)).cut == cut_off


def test_a_comparison_that_was_killed_is_made_from_its_rows(tmp_path: Path) -> None:
    folder = written(tmp_path / "ab", [*QUIET, *SLOWER])
    code, said = commands.bench("report", folder)
    assert code == 0
    assert [line.split(": ")[1] for line in said.splitlines()] == [
        str(folder / f"comparison.{kind}") for kind in ("md", "html")
    ]
    page = (folder / "comparison.md").read_text()
    assert "1 finding that fails" in page
    assert "bench ab main" in page
    lines = (folder / between_revisions.ROWS).read_text().splitlines(keepends=True)
    (folder / between_revisions.ROWS).write_text("".join([lines[0].replace('"policy"', '"polity"'), *lines[1:]]))
    code, output = commands.bench("report", folder)
    assert code == 2
    assert "ab.jsonl:1: policy: expected a value, found none" in output
    (folder / between_revisions.ROWS).unlink()
    assert commands.bench("report", folder)[0] == 2


@pytest.mark.parametrize(
    ("suite_s", "kinds"),
    [
        pytest.param(0.5, ["environment", "out_of_time"], id="before-all"),
        pytest.param(2.5, ["environment", "probe", "probe", "out_of_time"], id="after-a-case"),
        pytest.param(5.5, ["environment", *["probe"] * 4, "pair", "out_of_time"], id="after-a-pair"),
        pytest.param(99, ["environment", *["probe"] * 4, *["pair"] * 10, "finished"], id="enough"),
    ],
)
def test_no_more_is_begun_when_the_suites_time_is_spent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suite_s: float, kinds: list[str]
) -> None:
    """Whatever is begun takes a second."""
    clock = iter(range(1000))
    monkeypatch.setattr(prober, "machine", lambda *given: {})
    monkeypatch.setattr(measuring, "_probe", lambda side, case, *given: (passed(case), {"a.py": side.name}))
    monkeypatch.setattr(
        paired_timing, "measure_pair", lambda both, cases, *given: Pair({case.key: 0.0 for case in cases}, {})
    )
    two = SUITE.replace("[mine, full]", "[full, {local_window: {window: 3}}]")
    suite = parse(f"{two}budget: {{suite_s: {suite_s}}}\n", "mine.yaml")
    both = side(tmp_path), replace(side(tmp_path), name="B")
    with closing(Book(tmp_path / "out", between_revisions.ROWS)) as book:
        done = measuring.measure(
            suite,
            both,
            book,
            Stages(5, 12),
            lambda screened: [],
            lambda text: None,
            policy=EVERYTHING,
            now=lambda: float(next(clock)),
        )
    assert [row["kind"] for row in book.rows] == kinds
    assert done == (kinds[-1] == "finished")


@pytest.mark.parametrize(("ctrl_c", "ends"), [(True, 130), (False, 124)], ids=["ctrl-c", "out-of-time"])
def test_an_early_end_leaves_a_comparison_of_what_was_reached(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ctrl_c: bool, ends: int
) -> None:
    def early(suite: object, sides: object, book: Book, *given: object, **more: object) -> bool:
        written(book.path.parent, SLOWER)
        if ctrl_c:
            raise KeyboardInterrupt
        return False

    monkeypatch.chdir(repository)
    monkeypatch.setattr(measuring, "measure", early)
    (tmp_path / "full.yaml").write_text(SUITE.replace("[mine, full]", "[full]"))
    files = "--suite", tmp_path / "full.yaml", "--out", tmp_path / "out"
    code, output = commands.bench("ab", "main", "slow", "--path", "src", *files)
    assert code == ends, "before what got slower"
    assert "1 finding that fails, 0 that warn." in output, "what was finished is judged all the same"
    assert ("interrupted; finished pairs are kept" in output) == ctrl_c
    assert (tmp_path / "out" / "comparison.md").exists()


def test_what_was_not_reached_is_not_said_to_be_the_same(tmp_path: Path) -> None:
    def others(row: dict[str, Any]) -> None:
        if row.get("arm") == "B":
            row["imports"] = {"library.py": "1" * 64}

    row = between_revisions.load(written(tmp_path / "ab", [], others)).frame.iloc[0]
    assert (row["verdict"], row["reason"]) == ("incomparable", "not reached: the run ended before")


def test_rows_that_are_none_are_one_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="found none"):
        between_revisions.load(tmp_path)
    (tmp_path / between_revisions.ROWS).write_text("[]\n")
    with pytest.raises(RunError, match="jsonl:1: expected a mapping, found a list"):
        between_revisions.load(tmp_path)


def test_outside_a_repository_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["ab", "main"])
    assert done.exit_code == 2
    assert "not a git repository" in done.output
