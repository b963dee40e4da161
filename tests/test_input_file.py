"""A file of inputs: what fits, what is refused, and the errors against full attention that come from it."""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
import rows
import torch
from click.testing import CliRunner
from safetensors.torch import save_file
from settings import case_of
from test_engine import Machine
from test_resume import Stopping, resume
from test_run import bench
from torch import Tensor

from attnbench import reports
from attnbench.reports.compare.answer import notes
from attnbench.reports.compare.between_runs import compare
from attnbench.reports.compare.comparison import Comparison
from attnbench.reports.data.reading import RunError
from attnbench.reports.pages import reading
from attnbench.runner.cli import main
from attnbench.runner.execution import engine
from attnbench.runner.execution.journal import FolderError
from attnbench.runner.execution.local import Local
from attnbench.runner.execution.progress import Quiet
from attnbench.runner.worker.proof import approximation
from attnbench.suites.origin import Origin
from attnbench.suites.schema.load import SuiteError, from_dict, load, parse
from attnbench.variants import Shape

WITH_FILE = """
name: filed
question: What does a window lose on inputs of mine?
shape: {heads: 2, head_dim: 4, seq_len: 64}
variants:
  - full
  - local_window: {window: [3, 5], implementation: blockwise}
inputs: qkv.safetensors
measure: {processes: 1, values: 1, value_ms: 1}
"""


def drawn(
    batch: int = 1,
    heads: int = 2,
    kv_heads: int = 2,
    n: int = 64,
    head_dim: int = 4,
    dtype: torch.dtype = torch.float32,
) -> dict[str, Tensor]:
    """Tensors of a file."""
    sizes = {"q": heads, "k": kv_heads, "v": kv_heads}
    generator = torch.Generator().manual_seed(1)
    return {name: torch.randn(batch, many, n, head_dim, generator=generator).to(dtype) for name, many in sizes.items()}


def only_itself(n: int = 64) -> dict[str, Tensor]:
    """Inputs in which each query finds its own key alone: a window of one key is full attention."""
    tensors = drawn(n=n, head_dim=64)
    tensors["k"] = torch.eye(n, 64).expand(1, 2, n, 64).contiguous()
    return {**tensors, "q": 400 * tensors["k"]}


def with_pair(tensors: dict[str, Tensor], name: str, value: float) -> dict[str, Tensor]:
    """The tensors, one number of which is `value`."""
    tensors[name][0, 1, 2, 3] = value
    return tensors


def written(folder: Path, tensors: dict[str, Tensor], text: str = WITH_FILE, file: str = "qkv.safetensors") -> Path:
    """A suite beside a file of inputs."""
    (folder / file).parent.mkdir(exist_ok=True)
    save_file(tensors, folder / file)
    (folder / "s.yaml").write_text(text.lstrip())
    return folder / "s.yaml"


def validated(suite: Path) -> str:
    """What `bench validate` says."""
    done = CliRunner().invoke(main, ["validate", str(suite)])
    assert done.exit_code in (0, 2), done.output
    return done.output.strip()


@pytest.mark.parametrize(
    "tensors",
    [
        drawn(),
        drawn(dtype=torch.float64),
        drawn(dtype=torch.float16),
        drawn(dtype=torch.bfloat16),
        drawn(batch=3, heads=5, kv_heads=5, n=99),
        {**drawn(), "more": torch.arange(3)},
    ],
    ids=["float32", "float64", "float16", "bfloat16", "larger", "more"],
)
def test_a_file_fits_that_has_at_least_what_cases_ask_for(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    suite = written(tmp_path, tensors)
    assert validated(suite) == f"{suite}: 3 cases"
    path = tmp_path / "qkv.safetensors"
    q, k, v, _ = approximation.read(str(path), Shape(1, 2, 2, 64, 4))
    for name, found in {"q": q, "k": k, "v": v}.items():
        assert torch.equal(found, tensors[name][:1, :2, :64].double())
    assert load(suite).input_file() == {
        "file": "qkv.safetensors",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }


SHAPES = "expected q of shape B H N D, k and v of shape B K N D, and H a multiple of K, "
NO_FLOAT = "expected q in one of F64, F32, F16, BF16, found "
ASKED = "expected inputs for a case with batch 1, heads 2, kv_heads 2, seq_len 64, head_dim 4, found a file for "


@pytest.mark.parametrize(
    ("tensors", "told"),
    [
        (drawn(n=63), ASKED + "seq_len up to 63"),
        (drawn(heads=1, kv_heads=1), ASKED + "heads up to 1, kv_heads up to 1"),
        (drawn(head_dim=5), ASKED + "head_dim 5"),
        (drawn(heads=4, kv_heads=2), ASKED + "2 heads for each of kv_heads"),
        (
            {name: each for name, each in drawn().items() if name != "k"},
            'expected the tensors q, k and v, found "q, v"',
        ),
        (drawn(dtype=torch.int64), NO_FLOAT + "I64"),
        (drawn(dtype=torch.float8_e5m2), NO_FLOAT + "F8_E5M2"),
        (with_pair(drawn(), "v", math.nan), "expected finite numbers in v, found others"),
        (with_pair(drawn(), "q", -math.inf), "expected finite numbers in q, found others"),
        (with_pair(drawn(dtype=torch.bfloat16), "k", math.nan), "expected finite numbers in k, found others"),
        (with_pair(drawn(dtype=torch.float16), "k", math.inf), "expected finite numbers in k, found others"),
        (with_pair(drawn(dtype=torch.float64), "k", math.inf), "expected finite numbers in k, found others"),
        ({**drawn(), "q": torch.ones(2, 64, 4)}, SHAPES + "found q [2, 64, 4], k [1, 2, 64, 4] and v [1, 2, 64, 4]"),
        (
            drawn() | {"v": torch.ones(1, 2, 64, 5)},
            SHAPES + "found q [1, 2, 64, 4], k [1, 2, 64, 4] and v [1, 2, 64, 5]",
        ),
        (drawn(heads=3), SHAPES + "found q [1, 3, 64, 4], k [1, 2, 64, 4] and v [1, 2, 64, 4]"),
        (drawn(kv_heads=0), SHAPES + "found q [1, 2, 64, 4], k [1, 0, 64, 4] and v [1, 0, 64, 4]"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_error(tmp_path: Path, tensors: dict[str, Tensor], told: str) -> None:
    suite = written(tmp_path, tensors)
    assert validated(suite) == f"{suite}:7:9: inputs: {tmp_path / 'qkv.safetensors'}: {told}"


def test_a_case_that_does_not_fit_is_named_though_others_fit(tmp_path: Path) -> None:
    suite = written(tmp_path, drawn(n=100), WITH_FILE.replace("seq_len: 64", "seq_len: [64, 128]"))
    told = ASKED.replace("seq_len 64", "seq_len 128") + "seq_len up to 100"
    assert validated(suite) == f"{suite}:7:9: inputs: {tmp_path / 'qkv.safetensors'}: {told}"


@pytest.mark.parametrize("content", [b"", b"{}", b"not of this format", b"\xff" * 100], ids=len)
def test_another_format_is_one_error(tmp_path: Path, content: bytes) -> None:
    suite = written(tmp_path, drawn())
    (tmp_path / "qkv.safetensors").write_bytes(content)
    told = validated(suite)
    assert f"{suite}:7:9: inputs: {tmp_path / 'qkv.safetensors'}: expected a file in the format safetensors" in told
    assert "\n" not in told


def test_a_missing_file_is_one_error(tmp_path: Path) -> None:
    suite = written(tmp_path, drawn())
    (tmp_path / "qkv.safetensors").unlink()
    told = f"{suite}:7:9: inputs: {tmp_path / 'qkv.safetensors'}: expected a file, found none"
    assert validated(suite) == told
    done = CliRunner().invoke(main, ["run", str(suite), "--out", str(tmp_path / "run")])
    assert (done.exit_code, done.output.strip()) == (2, told)
    assert not (tmp_path / "run").exists()
    made = from_dict(parse(WITH_FILE.replace("inputs: qkv.safetensors", "")).to_json() | {"inputs": "no.safetensors"})
    with pytest.raises(SuiteError, match=r"^inputs: .*no\.safetensors: expected a file, found none"):
        engine.run(made, tmp_path / "run", Quiet())


@pytest.mark.parametrize(
    "path",
    [
        "/qkv.safetensors",
        "../qkv.safetensors",
        "a/../qkv.safetensors",
        "./qkv.safetensors",
        "a//b.safetensors",
        "qkv.pt",
        "a\\nb.safetensors",
        ".safetensors",
        "3",
    ],
)
def test_a_path_outside_the_folder_of_the_suite_is_refused(tmp_path: Path, path: str) -> None:
    suite = written(tmp_path, drawn(), WITH_FILE.replace("qkv.safetensors", f'"{path}"'))
    told = 'expected a file in the folder of the suite or below it, such as "data/model.safetensors" or null'
    assert validated(suite) == f'{suite}:7:9: inputs: {told}, found "{path}"'


def test_a_file_may_lie_in_a_folder_below(tmp_path: Path) -> None:
    text = WITH_FILE.replace("qkv.safetensors", "data/my qkv.safetensors")
    suite = written(tmp_path, drawn(), text, "data/my qkv.safetensors")
    assert validated(suite) == f"{suite}: 3 cases"


def by_hand(tensors: dict[str, Tensor], window: int) -> float:
    """`error_vs_full` of a window over all rows, from its definition."""
    q, k, v = (tensors[name].double() for name in "qkv")
    scores, at = q @ k.transpose(2, 3) / math.sqrt(q.shape[3]), torch.arange(q.shape[2])
    near = (at[:, None] - at).abs() <= window // 2
    full, local = scores.softmax(dim=3) @ v, scores.where(near, -math.inf).softmax(dim=3) @ v
    return float((local - full).norm() / full.norm())


@pytest.mark.parametrize("window", [3, 7, 31])
def test_errors_are_those_of_the_files_inputs(tmp_path: Path, window: int) -> None:
    tensors = drawn(batch=2, heads=4, kv_heads=4, n=80)
    save_file(tensors, tmp_path / "qkv.safetensors")
    made = case_of("local_window", {"window": window}, "blockwise", Shape(1, 2, 2, 64, 4))
    origin = Origin(0, str(tmp_path / "qkv.safetensors"))
    error, of_mean = approximation.of_case(made, made.spans, lambda: None, origin)
    first = {name: each[:1, :2, :64] for name, each in tensors.items()}
    assert error == pytest.approx(by_hand(first, window), rel=1e-9)
    full = (first["q"].double() @ first["k"].double().transpose(2, 3) / 2).softmax(dim=3) @ first["v"].double()
    mean = first["v"].double().mean(dim=2, keepdim=True)
    assert of_mean == pytest.approx(float((mean - full).norm() / full.norm()), rel=1e-9)


@pytest.mark.slow
def test_a_run_computes_its_errors_on_the_file(tmp_path: Path) -> None:
    """Each query of the file finds its own key alone, so a window loses nothing, and the mean nearly everything."""
    suite = written(tmp_path, only_itself(), WITH_FILE.replace("head_dim: 4", "head_dim: 64"))
    done = bench("run", suite.name, "--out", "run", "--quiet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (tmp_path / "drawn.yaml").write_text(suite.read_text().replace("inputs: qkv.safetensors\n", ""))
    done = bench("run", "drawn.yaml", "--out", "drawn", "--quiet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    ours, others = (reports.load(tmp_path / name).frame.set_index("case") for name in ("run", "drawn"))
    windows = ours["variant"] == "local_window"
    assert (ours["status"] == "passed").all()
    assert (ours["error_vs_full"] < 1e-12).all()
    assert (ours["error_of_mean"] > 0.9).all()
    assert (others.loc[windows, "error_vs_full"] > 0.2).all()
    meta = json.loads((tmp_path / "run/run.json").read_text())
    assert meta["inputs"] == load(suite).input_file()
    terms = reading.section(reports.load(tmp_path / "run"), "error against full attention at N")
    assert "the inputs of qkv.safetensors." in terms
    assert "inputs in which neighbours are alike" in (tmp_path / "drawn/report.md").read_text()


# Resuming


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A suite whose run `run`, beside it, was stopped after a few requests."""
    suite = written(tmp_path, drawn(n=99))
    machine = Stopping(3)
    with pytest.raises(KeyboardInterrupt):
        engine.run(load(suite), tmp_path / "run", Quiet(), executor=Local(machine.start, machine.now))
    return suite


def test_a_run_is_resumed_with_the_same_file(begun: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resume(Machine(), begun.with_name("run"), suite=load(begun))
    monkeypatch.chdir(begun.parent)
    resume(Machine(), begun.with_name("run"))
    meta = json.loads(begun.with_name("run").joinpath("run.json").read_text())
    assert meta["inputs"] == load(begun).input_file()
    assert [part["changed"] for part in meta["resumed"]] == [{}, {}]


@pytest.mark.parametrize("anyway", [False, True])
def test_a_changed_file_is_refused(begun: Path, anyway: bool) -> None:
    was = load(begun).input_file()
    now = load(written(begun.parent, drawn(n=98))).input_file()
    assert was
    assert now
    with pytest.raises(FolderError) as error:
        resume(Machine(), begun.with_name("run"), suite=load(begun), anyway=anyway)
    assert str(error.value).splitlines() == [
        f"{begun.with_name('run')}: expected the seed and the inputs that the run began with, found others; "
        "begin a new run:",
        f"  inputs.sha256: '{was['sha256']}' in the run, '{now['sha256']}' now",
    ]


def test_a_suite_that_names_another_file_is_refused(begun: Path) -> None:
    begun.write_text(begun.read_text().replace("inputs: qkv.safetensors\n", ""))
    with pytest.raises(FolderError, match=r"\n  suite.inputs: 'qkv.safetensors' in the run, None now$"):
        resume(Machine(), begun.with_name("run"), suite=load(begun), anyway=True)


def test_a_file_that_is_not_found_is_one_error(begun: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    done = bench("run", "--resume", begun.with_name("run"), cwd=tmp_path_factory.mktemp("elsewhere"))
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"{begun.with_name('run')}: inputs: qkv.safetensors: expected a file, found none; "
        "it is looked for in the folder of SUITE, without SUITE in the current folder"
    ]


# Comparisons


def compared(tmp_path: Path, **b: Any) -> Comparison:
    """A comparison of two equal runs, the second with other fields of `run.json`."""
    one, other = (rows.write(tmp_path / name, rows.QUIET) for name in "ab")
    path = other / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **b}))
    return compare(reports.load(one), reports.load(other))


def test_runs_of_equal_inputs_say_nothing_of_them(tmp_path: Path) -> None:
    found = compared(tmp_path, seed=0, inputs=None)
    assert "error" not in found.how
    assert found.counts("error") == {"unchanged": 4}


def test_errors_of_other_seeds_are_not_compared(tmp_path: Path) -> None:
    found = compared(tmp_path, seed=3)
    assert found.counts("error") == {"incomparable": 4}
    assert "incomparable" not in found.counts()
    assert found.how.endswith(
        " The seeds of the runs differ, so their errors are not compared."
        " `error_vs_full` has different inputs: those of seed 0 in A, those of seed 3 in B."
    )


def test_a_comparison_names_different_files(tmp_path: Path) -> None:
    found = compared(tmp_path, inputs={"file": "data/qkv.safetensors", "sha256": "0123456789abcdef"})
    assert found.counts("error") == {"unchanged": 4}
    told = " `error_vs_full` has different inputs: those of seed 0 in A, data/qkv.safetensors (01234567) in B."
    assert found.how.endswith(told)
    assert found.how in notes(found)


def test_a_run_with_an_invalid_record_of_a_file_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"run\.json: inputs\.sha256: expected "):
        compared(tmp_path, inputs={"file": "qkv.safetensors", "sha256": 3})
