"""Files of edges: what is read and refused, and a run that keeps its own copy."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from test_engine import Machine
from test_resume import Stopping, resume
from test_run import bench

from attnbench import reports
from attnbench.reports.data.reading import RunError
from attnbench.runner.cli import main
from attnbench.runner.execution import engine
from attnbench.runner.execution.journal import FolderError
from attnbench.runner.execution.local import Local
from attnbench.runner.execution.progress import Quiet
from attnbench.runner.worker import admission
from attnbench.runner.worker.probe import probe
from attnbench.suites import Case, Status
from attnbench.suites.schema.load import from_dict, load, parse
from attnbench.variants import _edges
from attnbench.variants.graph import Edges

SUITE = """
name: edges
question: What does my graph cost?
shape: {heads: 2, head_dim: 4, seq_len: 8}
variants:
  - full
  - graph: {file: edges.txt, implementation: blockwise}
measure: {processes: 1, values: 1, value_ms: 1}
"""
LINES = "# a star\n0 1\n0 2\n\n1 0\n 2\t0 \r\n5 4\n0 1\n3 3\n"
EDGES = [(0, 1), (0, 2), (1, 0), (2, 0), (3, 3), (5, 4)]
SHA256 = hashlib.sha256("".join(f"{i} {j}\n" for i, j in EDGES).encode()).hexdigest()
PLACE = "variants[1].graph.file"


def written(folder: Path, lines: str = LINES, text: str = SUITE, file: str = "edges.txt") -> Path:
    """A suite beside a file of edges."""
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    (folder / file).write_bytes(lines.encode())
    (folder / "s.yaml").write_text(text.lstrip())
    return folder / "s.yaml"


def validated(suite: Path) -> str:
    """What `bench validate` says."""
    done = CliRunner().invoke(main, ["validate", str(suite)])
    assert done.exit_code in (0, 2), done.output
    return done.output.strip()


def graph(suite: Path) -> Case:
    """The case of the graph."""
    (found,) = (case for case in load(suite).cases() if case.mechanism.name == "graph")
    return found


# Reading


def test_a_query_sees_itself_and_the_keys_of_its_lines(tmp_path: Path) -> None:
    case = graph(written(tmp_path))
    expected = np.eye(8, dtype=bool)
    expected[tuple(zip(*EDGES, strict=True))] = True
    assert (case.pattern.spans(8).mask() == expected).all()
    assert case.label == "graph(file=edges.txt)"
    assert case.mechanism.parameters["sha256"] == SHA256


def test_a_case_is_known_by_its_edges_and_not_by_its_file(tmp_path: Path) -> None:
    one = graph(written(tmp_path / "a"))
    same = graph(written(tmp_path / "b", "5 4\n3 3\n0 1\n0 2\n2 0\n1 0", SUITE.replace("edges.txt", "x/y"), "x/y"))
    other = graph(written(tmp_path / "c", LINES + "7 7\n"))
    assert same.key == one.key != other.key
    assert json.loads(json.dumps(one.flat()))["parameters"]["file"] == "edges.txt"
    assert Case.read(json.loads(json.dumps(one.flat()))).key == one.key


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("0 1\n# x\n2\n", ":3: expected an edge, two tokens from 0 such as `17 4`, found '2'"),
        ("0 1 2\n", ":1: expected an edge, two tokens from 0 such as `17 4`, found '0 1 2'"),
        ("0 -1\n", ":1: expected an edge, two tokens from 0 such as `17 4`, found '0 -1'"),
        ("0 1.0\n", ":1: expected an edge, two tokens from 0 such as `17 4`, found '0 1.0'"),
        ("0,1\n", ":1: expected an edge, two tokens from 0 such as `17 4`, found '0,1'"),
        ("0 1_0\n", ":1: expected an edge, two tokens from 0 such as `17 4`, found '0 1_0'"),
        ("0 \u0663\n", ":1: expected an edge, two tokens from 0 such as `17 4`, found "),
        ("0 123456789\n", ":1: expected an edge, two tokens from 0 such as `17 4`, found '0 123456789'"),
        ("9" * 5000, f":1: expected an edge, two tokens from 0 such as `17 4`, found '{'9' * 40}'"),
        ("", ": expected 1 to 2097152 edges, found 0"),
        ("# nothing\n", ": expected 1 to 2097152 edges, found 0"),
    ],
)
def test_a_bad_line_is_one_error_with_its_number(tmp_path: Path, lines: str, told: str) -> None:
    suite = written(tmp_path, lines)
    found = validated(suite)
    assert found.startswith(f"{suite}:6:19: {PLACE}: {tmp_path / 'edges.txt'}{told}")
    assert "\n" not in found


def test_a_missing_file_is_one_error(tmp_path: Path) -> None:
    suite = written(tmp_path)
    (tmp_path / "edges.txt").unlink()
    told = f"{suite}:6:19: {PLACE}: {tmp_path / 'edges.txt'}: expected a file, found none"
    assert validated(suite) == told
    done = CliRunner().invoke(main, ["run", str(suite), "--out", str(tmp_path / "run")])
    assert (done.exit_code, done.output.strip()) == (2, told)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("path", ["/edges.txt", "../edges.txt", "a/../edges.txt", "./edges.txt", "a//b", ".edges", ""])
def test_a_path_outside_the_folder_of_the_suite_is_refused(tmp_path: Path, path: str) -> None:
    suite = written(tmp_path, text=SUITE.replace("edges.txt", f'"{path}"'))
    told = 'expected a file in the folder of the suite or below it, such as "data/edges.txt" or null'
    assert validated(suite) == f'{suite}:6:19: {PLACE}: {told}, found "{path}"'


def test_several_files_are_several_cases(tmp_path: Path) -> None:
    written(tmp_path, "7 0\n", file="data/more.txt")
    suite = written(tmp_path, text=SUITE.replace("edges.txt", "[edges.txt, data/more.txt]"))
    assert validated(suite) == f"{suite}: 3 cases"
    loaded = load(suite)
    assert list(loaded.edge_files()) == ["edges.txt", "data/more.txt"]
    assert from_dict(loaded.to_json(), edges=tmp_path).to_json() == loaded.to_json()


def test_a_digest_in_the_suite_pins_the_edges(tmp_path: Path) -> None:
    pinned = SUITE.replace("edges.txt", f"edges.txt, sha256: {SHA256}")
    suite = written(tmp_path, text=pinned)
    assert validated(suite) == f"{suite}: 2 cases"
    written(tmp_path, "0 1\n", pinned)
    found = validated(suite)
    assert f"{PLACE}: {tmp_path / 'edges.txt'}: expected edges with the SHA-256 {SHA256}, found " in found


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("kind: ring", "kind: expected none beside a file"),
        ("degree: 4", "degree: expected none beside a file"),
        ("grid: [2, 4]", "grid: expected none beside a file"),
        ("seed: 3", "seed: expected none beside a file"),
    ],
)
def test_a_file_takes_no_other_parameters(tmp_path: Path, given: str, told: str) -> None:
    suite = written(tmp_path, text=SUITE.replace("edges.txt", f"edges.txt, {given}"))
    assert told in validated(suite)


def test_a_digest_needs_a_file(tmp_path: Path) -> None:
    suite = written(tmp_path, text=SUITE.replace("file: edges.txt", f"sha256: {SHA256}"))
    assert "sha256: expected a file beside it, found none" in validated(suite)


def test_a_sequence_has_room_for_all_tokens(tmp_path: Path) -> None:
    pattern = graph(written(tmp_path)).pattern
    assert pattern.unsupported(5) == "file: edges.txt has 6 tokens, found seq_len = 5"
    assert pattern.unsupported(6) is None
    assert [pattern.near(n)[1] for n in (1, 6, 61)] == [6, 6, 61]


def test_a_file_of_many_runs_is_unsupported(tmp_path: Path) -> None:
    """A token that sees every other token of 4,096 has too many runs to hold."""
    lines = "".join(f"0 {j}\n" for j in range(0, 4096, 2))
    case = graph(written(tmp_path, lines, SUITE.replace("seq_len: 8", "seq_len: 4096")))
    found = admission.plan(case, 2**34)
    assert found["status"] is Status.UNSUPPORTED
    assert found["reason"] == "query 0 at N=4096 sees 2048 separate runs of keys; at most 512 can be held"


def gat(suite: Path) -> Case:
    """The case of the graph attention network, in a suite where it takes the place of the graph."""
    text = suite.read_text().replace("graph: {file: edges.txt, implementation: blockwise}", "gat: {file: edges.txt}")
    suite.write_text(text.replace("variants:", "level: layer\nvariants:"))
    (found,) = (case for case in load(suite).cases() if case.mechanism.name == "gat")
    return found


def test_a_graph_attention_network_sees_the_same_keys(tmp_path: Path) -> None:
    case = gat(written(tmp_path))
    assert isinstance(case.parameters, Edges)
    assert {*zip(*(each.tolist() for each in case.parameters.pairs(8)), strict=True)} == {
        *EDGES,
        *((i, i) for i in range(8)),
    }
    found = probe(case.changed(direction="training"), 2**32, lambda *_, **__: None)
    assert (found.status, found.proved) == (Status.PASSED, 1), found.reason


def test_a_graph_attention_network_has_room_for_many_runs(tmp_path: Path) -> None:
    lines = "".join(f"0 {j}\n" for j in range(0, 4096, 2))
    case = gat(written(tmp_path, lines, SUITE.replace("seq_len: 8", "seq_len: 4096")))
    assert admission.plan(case, 2**34)["status"] is None
    assert isinstance(case.parameters, Edges)
    assert len(case.parameters.pairs(4096)[0]) == 4096 + 2048 - 1


def test_show_reads_a_file_in_the_current_folder(tmp_path: Path) -> None:
    written(tmp_path)
    words = ("--set", "file=edges.txt", "--set", "implementation=eager", "--seq-len", "8")
    done = bench("show", "graph", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "allowed pairs: 13 of 64" in done.stdout
    assert "eager  passed" in done.stdout


def test_edges_that_change_after_they_were_read_are_noticed(tmp_path: Path) -> None:
    case = graph(written(tmp_path))
    _edges.edges.cache_clear()
    written(tmp_path, "0 1\n")
    with pytest.raises(ValueError, match=r"edges\.txt: expected the edges of SHA-256 .*, found others; put them back"):
        case.pattern.spans(8)


# Running


@pytest.mark.slow
def test_a_run_keeps_a_copy_and_goes_on_with_it(tmp_path: Path) -> None:
    suite = written(tmp_path, text=SUITE.replace("edges.txt", "data/edges.txt"), file="data/edges.txt")
    done = bench("run", suite.name, "--out", "run", "--quiet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run/edges/data/edges.txt").read_text() == (tmp_path / "data/edges.txt").read_text()
    frame = reports.load(tmp_path / "run").frame
    assert set(frame["status"]) == {"passed"}
    assert dict(zip(frame["label"], frame["allowed_pairs"], strict=True)) == {
        "full": 2 * 64,
        "graph(file=data/edges.txt)": 2 * 13,
    }
    shutil.rmtree(tmp_path / "data")
    (tmp_path / "elsewhere").mkdir()
    done = bench("run", "--resume", "../run", "--processes", "2", "--quiet", cwd=tmp_path / "elsewhere")
    assert done.returncode == 0, done.stderr
    assert reports.load(tmp_path / "run").frame["processes"].tolist() == [2, 2]


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A suite whose run `run`, beside it, was stopped after a few requests."""
    suite = written(tmp_path)
    machine = Stopping(2)
    with pytest.raises(KeyboardInterrupt):
        engine.run(load(suite), tmp_path / "run", Quiet(), executor=Local(machine.start, machine.now))
    return suite


def test_a_run_is_resumed_with_the_same_edges(begun: Path) -> None:
    run = begun.with_name("run")
    resume(Machine(), run, suite=load(begun))
    written(begun.parent, "# in another order\n" + "\n".join(f"{i} {j}" for i, j in reversed(EDGES)))
    resume(Machine(), run, suite=load(begun))
    resume(Machine(), run)
    meta = json.loads((run / "run.json").read_text())
    assert [part["changed"] for part in meta["resumed"]] == [{}, {}, {}]


@pytest.mark.parametrize("anyway", [False, True])
def test_changed_edges_are_one_line(begun: Path, anyway: bool) -> None:
    written(begun.parent, "0 1\n")
    now = hashlib.sha256(b"0 1\n").hexdigest()
    with pytest.raises(FolderError) as error:
        resume(Machine(), begun.with_name("run"), suite=load(begun), anyway=anyway)
    assert str(error.value) == (
        f"{begun.with_name('run')}: expected edges.txt with the edges that the run began with (SHA-256 {SHA256}), "
        f"found others ({now}); put them back, or begin a new run"
    )


def test_a_changed_copy_is_one_line(begun: Path) -> None:
    copy = begun.with_name("run") / "edges" / "edges.txt"
    copy.write_text("0 1\n")
    now = hashlib.sha256(b"0 1\n").hexdigest()
    with pytest.raises(RunError) as error:
        resume(Machine(), begun.with_name("run"))
    assert str(error.value) == (
        f"{begun.with_name('run') / 'run.json'}: suite.{PLACE}: expected a suite that is valid here: {copy}: expected "
        f"edges with the SHA-256 {SHA256}, found {now}"
    )


def test_another_file_is_added_with_anyway(begun: Path) -> None:
    written(begun.parent, "7 0\n", file="more.txt")
    begun.write_text(SUITE.replace("edges.txt", "[edges.txt, more.txt]").lstrip())
    resume(Machine(), begun.with_name("run"), suite=load(begun), anyway=True)
    assert sorted(path.name for path in (begun.with_name("run") / "edges").iterdir()) == ["edges.txt", "more.txt"]


def test_a_suite_from_a_text_reads_its_edges_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert parse(SUITE).edge_files() == {"edges.txt": SHA256}
    assert from_dict(parse(SUITE).to_json()).edge_files() == {"edges.txt": SHA256}
