"""`bench ab --env`: how environments are asked for, made and compared, and how long a comparison still takes."""

import json
import multiprocessing
import sys
import zipfile
from collections.abc import Mapping
from functools import partial
from multiprocessing import spawn
from pathlib import Path
from typing import Any

import commands
import pytest
from folders import forgotten

from attnbench.reports.compare import between_revisions, page
from attnbench.reports.compare.answer import answer, notes
from attnbench.reports.compare.gate import STRICT
from attnbench.reports.data.reading import RunError
from attnbench.reports.decision import decide
from attnbench.runner.ab import environments, paired_timing
from attnbench.runner.ab.environments import Environment, EnvironmentRefused, Wanted
from attnbench.runner.ab.live_pair import Limits, Pair, ready_request
from attnbench.runner.ab.paired_timing import Stages
from attnbench.runner.ab.time_left import TimeLeft
from attnbench.runner.workers import starting
from attnbench.runner.workers.starting import Interpreter
from attnbench.suites import Probe, Status
from attnbench.suites.schema.load import parse

VARIANT = '''
"""Attention of the user's own library."""

from attnbench.variants import Variant
from attnbench.variants.full import Full
from attnbench.variants.kernels import Program


def build(pattern, setting):
    """The installed kernel."""
    from mylib import attend

    return Program(attend)


VARIANT = Variant(Full, source="none", build=build)
'''
SUITE = """
name: mine
question: Did an upgrade make it slower?
shape: {batch: 1, heads: 1, head_dim: 8, seq_len: 32}
variants: [mine]
"""
LIBRARY = """
from torch.nn.functional import scaled_dot_product_attention


def attend(q, k, v):
    return sum(scaled_dot_product_attention(q, k, v) for _ in range({calls})) / {calls}
"""


def wheel(folder: Path, name: str, version: str, text: str = "") -> None:
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as file:
        told = f"{name}-{version}.dist-info"
        file.writestr(f"{name}.py", text)
        file.writestr(f"{told}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        file.writestr(f"{told}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{told}/RECORD", "")


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two versions of a library, which pip finds without a network. The second makes 40 calls for one."""
    folder = tmp_path / "wheels"
    wheel(folder, "mylib", "1.0", LIBRARY.format(calls=1))
    wheel(folder, "mylib", "2.0", LIBRARY.format(calls=40))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    (tmp_path / "mine.yaml").write_text(SUITE)
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "mine.py").write_text(VARIANT)
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.mark.parametrize(
    ("text", "requirements", "variables"),
    [
        ("torch==2.12", ["torch==2.12"], {}),
        ("numpy>=2,<3 OMP_NUM_THREADS=1", ["numpy>=2,<3"], {"OMP_NUM_THREADS": "1"}),
        ("./mylib mylib@git+https://example.org/a", ["./mylib", "mylib@git+https://example.org/a"], {}),
        ("'mylib @ file:///a b.whl' A=", ["mylib @ file:///a b.whl"], {"A": ""}),
        ("A=b=c 'B=two words'", [], {"A": "b=c", "B": "two words"}),
        ("mylib~=1.0 mylib!=1.1", ["mylib~=1.0", "mylib!=1.1"], {}),
    ],
)
def test_words_are_requirements_or_variables(text: str, requirements: list[str], variables: dict[str, str]) -> None:
    assert Wanted.parse(text) == Wanted(text, tuple(requirements), variables)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "expected requirements such as numpy==2.1, or NAME=VALUE, found neither"),
        ("'a", "expected closed quotes, found: No closing quotation"),
        ("mylib --pre", "found the option --pre; options of pip are variables"),
        ("OMP_NUM_THREADS=many", "expected a number of threads from 1 to 4096, found 'many'"),
        ("OMP_NUM_THREADS=0", "expected a number of threads from 1 to 4096, found '0'"),
    ],
)
def test_what_cannot_be_asked_for_is_one_clear_error(text: str, told: str) -> None:
    with pytest.raises(EnvironmentRefused) as refused:
        Wanted.parse(text)
    assert told in str(refused.value)


def test_only_what_is_asked_for_is_replaced(wheels: Path, tmp_path: Path) -> None:
    made = environments.make(Wanted.parse("mylib==2.0 A=b"), tmp_path / "made")
    assert made.interpreter is not None
    assert Path(made.interpreter.program).is_relative_to(tmp_path / "made")
    found, here = made.versions(), Environment().versions()
    assert found["mylib"] == "2.0"
    assert {name: each for name, each in found.items() if name != "mylib"} == here
    assert made.variables == {"A": "b"}


def test_variables_alone_need_no_installation(tmp_path: Path) -> None:
    made = environments.make(Wanted.parse("OMP_NUM_THREADS=3"), tmp_path / "made")
    assert (made.interpreter, made.threads) == (None, 3)
    assert not (tmp_path / "made").exists()


def test_a_process_inherits_the_interpreter_and_the_rest_stays() -> None:
    before: tuple[object, ...] = spawn.get_executable(), sys.path
    with starting.interpreter(Interpreter("/elsewhere/python", ("/a", "/b"))):
        inside: tuple[object, ...] = spawn.get_executable(), sys.path
        assert inside == (b"/elsewhere/python", ["/a", "/b"])
    assert (spawn.get_executable(), sys.path) == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--env", "mylib==9"], "expected packages that pip can install, found: ERROR: No matching distribution found"),
        (["--env", "attnbench==9.0"], "expected packages other than attnbench, which measures both sides"),
        ([], "expected BASE, or --env once or twice, found 0 --env"),
        (["main", "--env", "A=b"], "expected BASE, or --env once or twice, found BASE and 1 --env"),
        (["--env", "A=b"] * 3, "expected BASE, or --env once or twice, found 3 --env"),
        (["--env", "A=b", "--aa"], "--aa: expected with BASE alone"),
        (["--env", "A=b", "--prepare", "make"], "--prepare: expected with BASE alone"),
        (["--env", "A=b", "--path", "lib"], "--path lib: expected a folder that both sides import from, found none"),
    ],
)
def test_a_mistake_is_one_line(wheels: Path, words: list[str], told: str) -> None:
    wheel(wheels, "attnbench", "9.0")
    (wheels.parent / "full.yaml").write_text(SUITE.replace("[mine]", "[full]"))
    code, said = commands.bench("ab", *words, "--suite", "full.yaml", "--out", "out")
    assert (code, told in said) == (2, True), said
    assert not (wheels.parent / "out" / "ab.jsonl").exists(), "the folder is usable for the next try"


def compared(wheels: Path, *words: str) -> tuple[int, dict[str, Any], str]:
    with forgotten():
        code, said = commands.bench("ab", *words, "--suite", "mine.yaml", "--variants", "bench", "--out", "out")
    return code, json.loads((wheels.parent / "out" / "comparison.json").read_text()), said


@pytest.mark.slow
def test_two_versions_of_a_package_are_compared(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Probes are real, and the two versions need different memory. Their times are a substitute."""
    starts: list[bool] = []

    def pair(both: Any, cases: Any, plans: Any, limits: Limits, seed: str) -> Pair:
        if not starts:
            # The workers of both sides start, and answer.
            for arm in both:
                ours, _ = multiprocessing.Pipe()
                with arm.start(None, limits.folders, ours) as worker:
                    starts.append(worker.ask(ready_request(cases, limits, arm.threads), 60) == {})
        return Pair({each.key: 0.0 for each in cases}, {})

    monkeypatch.setattr(paired_timing, "measure_pair", pair)
    a, b = "mylib==1.0 OMP_NUM_THREADS=1", "mylib==2.0 OMP_NUM_THREADS=1 MARK=b"
    code, told, said = compared(wheels, "--env", a, "--env", b)
    assert starts == [True, True]
    assert code == 1, said
    assert (told["a"], told["b"]) == (a, b)
    assert told["differences"] == {"mylib": ["1.0", "2.0"], "MARK": ["as it was", "b"]}
    assert {row["memory"] for row in told["cases"]} == {"regressed"}, "a sum holds two outputs at once"
    assert {row["verdict"] for row in told["cases"]} == {"unchanged"}
    assert "installing mylib==2.0\n" in said
    rows = [json.loads(line) for line in (wheels.parent / "out" / "ab.jsonl").read_text().splitlines()]
    assert [rows[0]["environments"][side]["packages"]["mylib"] for side in "AB"] == ["1.0", "2.0"]
    assert rows[0]["environments"]["B"]["facts"]["threads"] == 1
    assert "revisions" not in rows[0]


@pytest.mark.slow
def test_a_slower_version_is_found(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In fewer pairs than are usual, because B is many times slower. Beside other work the same code may differ too."""
    monkeypatch.setattr(decide, "Rule", partial(decide.Rule, screen_pairs=3, confirm_pairs=3))
    code, told, said = compared(wheels, "--env", "mylib==1.0", "--env", "mylib==2.0")
    assert code == 1, said
    for row in told["cases"]:
        assert row["verdict"] == "regressed" or row["reason"].startswith("regressed, but the same"), said
        assert row["ratio"] > 2
    assert "same pair 1 of 3, 1 cases (at least " in said


# --- what is made of the rows


def written(folder: Path, a: Mapping[str, Any], b: Mapping[str, Any]) -> Path:
    """The rows of a comparison of two environments of one case, whose time is the same."""
    case = parse(SUITE.replace("[mine]", "[full]")).cases()[0]
    probe = Probe(case.key, Status.PASSED, "", call_ns=1000, peak_bytes=100, allowed_pairs=10, computed_pairs=10)
    sides = {name: {"name": name, "variables": {}, "packages": {}, "facts": {}} for name in "AB"}
    told: list[dict[str, Any]] = [
        {
            "kind": "environment",
            "facts": {},
            "pairs": {"screen": 5, "confirm": 12},
            "environments": {"A": {**sides["A"], **a}, "B": {**sides["B"], **b}},
            "command": "bench ab --env",
            "policy": STRICT.model_dump(mode="json"),
            "cases": [{"key": case.key, "label": "full", **case.flat()}],
        },
        *({"kind": "probe", "arm": arm, "probe": probe.to_json(), "imports": {}} for arm in "AB"),
        *({"kind": "pair", "stage": "screen", "ratios": {case.key: 0.001 * n}, "ended": {}} for n in range(5)),
        {"kind": "finished"},
    ]
    folder.mkdir()
    (folder / between_revisions.ROWS).write_text("".join(json.dumps(row) + "\n" for row in told))
    return folder


def test_a_comparison_names_what_differs_between_environments(tmp_path: Path) -> None:
    a = {"name": "torch==2.12", "packages": {"torch": "2.12.0", "numpy": "2.1"}, "facts": {"torch": "2.12.0+cpu"}}
    b = {"name": "torch==2.13 A=<b>", "variables": {"A": "<b>"}, "packages": {"torch": "2.13.0", "numpy": "2.1"}}
    found = between_revisions.load(written(tmp_path / "out", a, b | {"facts": {"torch": "2.13.0+cpu", "threads": 2}}))
    assert found.frame["verdict"].tolist() == ["unchanged"], "a case that imports nothing is compared all the same"
    assert found.differences == {
        "A": ("as it was", "<b>"),
        "torch": ("2.12.0", "2.13.0"),
        "threads": (None, 2),
    }
    assert "The environments differ in threads, torch and A." in answer(found)
    told = "\n".join(notes(found))
    assert "the environments differ in threads: None and 2; torch: 2.12.0 and 2.13.0; A: as it was and <b>" in told
    assert "Both environments were measured together" in told
    text = page.page(found, [])
    assert text.startswith("# torch==2.13 A=&lt;b&gt; against torch==2.12\n")
    assert "## The environments differ" in text


def test_equal_environments_are_said_to_be_equal(tmp_path: Path) -> None:
    assert "no version and no variable differs" in notes(between_revisions.load(written(tmp_path / "out", {}, {})))


def test_rows_have_revisions_or_environments(tmp_path: Path) -> None:
    folder = written(tmp_path / "out", {}, {})
    path = folder / between_revisions.ROWS
    path.write_text(path.read_text().replace('"environments"', '"surroundings"'))
    with pytest.raises(RunError, match="expected either revisions or environments"):
        between_revisions.load(folder)


def test_how_long_it_still_takes() -> None:
    cases = parse(SUITE.replace("[mine]", "[full]").replace("32", "[32, 64]")).cases()
    clock = iter(range(100))
    left = TimeLeft(cases, Stages(screen=5, confirm=12), now=lambda: float(next(clock)))
    assert left.text() == "", "nothing is known before the first probe"
    for case in cases:
        left.begin()
        left.probed(case, 1e6)
    left.again(0.5)
    assert left.text().startswith(" (at least 0:"), "how many are confirmed is not known"
    for _ in range(5):
        for stage in ("same", "screen"):
            left.begin()
            left.paired(stage)
    assert left.text() == " (at least 0:00 left)"
    left.screened(0.5)
    left.begin()
    left.paired("confirm")
    assert left.text() == " (0:11 left)", "eleven pairs of a second"
    left.screened(0.0)
    assert left.text() == " (0:00 left)"
