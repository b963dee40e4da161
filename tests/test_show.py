"""`bench show`: what a variant is, how its pattern looks, and whether it is right."""

import io
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner, Result
from definitions import CASES, defined, exists, label
from folders import forgotten
from matplotlib.image import imread
from settings import case_of, pattern_of

from attnbench import variants
from attnbench.reports.drawing import pattern_image
from attnbench.runner.cli import main
from attnbench.runner.execution import pattern_images
from attnbench.runner.show import check_variant, describe
from attnbench.runner.show.check_variant import Trial
from attnbench.suites import Case, Probe, Status
from attnbench.suites.problem import near
from attnbench.suites.schema.load import SuiteError, variant_cases
from attnbench.variants import Pattern, Shape, Spans, kernels, parameter
from attnbench.variants.truncated import Truncated

HERE = Path(__file__).parent


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for variants, which are forgotten afterwards."""
    (tmp_path / "mine").mkdir()
    with forgotten():
        yield tmp_path / "mine"


# Pictures


@pytest.mark.parametrize(("name", "parameters"), CASES, ids=label)
def test_a_cell_is_set_where_any_of_its_pairs_is_allowed(name: str, parameters: dict[str, Any]) -> None:
    n = next(each for each in (61, 64, 130, 259) if exists(name, parameters, each))
    mask, spans = defined(name, parameters, n), pattern_of(name, parameters).spans(n)
    for side in (1, 7, 16, 61, 100):
        width = -(-n // side)
        cells = [slice(first, first + width) for first in range(0, n, width)]
        seen = pattern_image.bitmap(spans, side)
        assert seen.tolist() == [[mask[r, c].any() for c in cells] for r in cells], side
        assert len(seen) <= side


def test_a_long_pattern_is_drawn_without_its_mask() -> None:
    seen = pattern_image.bitmap(Truncated(left=30_000, right=0).spans(100_003), 4)
    assert seen.astype(int).tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 1]]


SEEN = np.array([[1, 0, 1, 0, 1], [0, 1, 1, 0, 1], [1, 1, 0, 0, 1], [0, 0, 0, 0, 1], [1, 1, 1, 0, 0]], np.bool_)


def test_a_character_is_two_cells() -> None:
    assert pattern_image.terminal(SEEN, "utf-8").splitlines() == ["▀▄█ █", "▀▀  █", "▀▀▀"]
    assert pattern_image.terminal(SEEN, "ascii").splitlines() == ["'.: :", "''  :", "'''"]
    assert pattern_image.terminal(SEEN, "no such encoding").splitlines() == ["'.: :", "''  :", "'''"]


def test_the_svg_holds_the_cells() -> None:
    text = pattern_image.svg(SEEN, "a < b & c")
    root = ElementTree.fromstring(text)
    name = "{http://www.w3.org/2000/svg}"
    assert root.attrib["viewBox"] == "0 0 5 5"
    assert root.findtext(f"{name}title") == "a < b & c"
    drawn = np.zeros_like(SEEN)
    *_, path = root.iter(f"{name}path")
    for x, y, width, back in re.findall(r"M(\d+) (\d+)h(\d+)v1h-(\d+)z", path.attrib["d"]):
        assert width == back
        drawn[int(y), int(x) : int(x) + int(width)] = True
    assert (drawn == SEEN).all()


def test_the_png_holds_the_cells() -> None:
    pixels = imread(io.BytesIO(pattern_image.png(SEEN)), format="png")
    size = len(pixels) // 5
    assert pixels.shape[:2] == (5 * size, 5 * size)
    assert size > 50
    blue = pixels[size // 2 :: size, size // 2 :: size, 0] < 0.5
    assert (blue == SEEN).all()


def case(name: str, n: int, **parameters: Any) -> Case:
    return case_of(name, parameters, "eager", Shape(1, 1, 1, n, 8), "float32", "cpu", "forward", "auto")


def test_a_run_draws_each_mechanism_at_its_longest_length() -> None:
    drawn = pattern_images.of([case("full", n, causal=causal) for n in (300, 64, 5000) for causal in (False, True)])
    assert [(each["label"], each["n"], each["seq_len"]) for each in drawn] == [
        ("full", 256, 2048),
        ("full(causal=true)", 256, 2048),
    ]


RAISING = """
from dataclasses import dataclass
from attnbench.variants import Pattern, Variant

@dataclass(frozen=True)
class Mine(Pattern):
    def {method}(self, n):
        raise ValueError("not today")

    {other}

VARIANT = Variant(Mine, source="here")
"""
METHODS = [("spans", "pass"), ("unsupported", "def allowed(self, i, j, n): return i == j")]


@pytest.mark.parametrize(("method", "other"), METHODS)
def test_a_run_leaves_out_what_cannot_be_drawn(folder: Path, method: str, other: str) -> None:
    (folder / "mine.py").write_text(RAISING.format(method=method, other=other))
    variants.extend(folder)
    assert [each["label"] for each in pattern_images.of([case("mine", 64), case("full", 64, causal=False)])] == ["full"]


# Words


def test_words_are_what_a_suite_writes() -> None:
    given = ["window=9", "edges=slide", "causal=false", "implementation=[eager, blockwise]"]
    made = variant_cases("local_window", given, "--set", **check_variant.AXES)
    assert [each.implementation for each in made] == ["eager", "blockwise"]
    told = {"window": 9, "dilation": 1, "edges": "slide", "causal": False, "sinks": 0}
    assert made[0].mechanism.parameters == told
    assert (
        variant_cases("truncated", ["left=null", "right=0"], "--set", **check_variant.AXES)[0].mechanism.parameters[
            "left"
        ]
        is None
    )


def test_every_implementation_is_meant_where_none_is_named() -> None:
    found = [each.implementation for each in variant_cases("full", [], "--set", **check_variant.AXES)]
    assert found == [name for name in kernels.names() if name != kernels.SHARED]


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("local_windw", [], 'expected a variant of alibi, .*, found "local_windw"; did you mean "local_window"?'),
        ("local_window", ["window"], '--set: expected NAME=VALUE such as window=65, found "window"'),
        ("local_window", ["window="], '--set: expected NAME=VALUE such as window=65, found "window="'),
        ("local_window", ["=3"], '--set: expected NAME=VALUE such as window=65, found "=3"'),
        ("local_window", ["window=0"], "--set: window: expected an integer from 1 to 2147483647, found 0"),
        ("local_window", ["window=1e3"], "--set: window: expected a plain number, .* found 1e3, which"),
        ("local_window", ["window=[9, 17]"], "--set: expected one value for each parameter, found a list that makes"),
        ("local_window", ["window=[9, 0]"], r"--set: window\[1\]: expected an integer"),
        ("local_window", ["window={"], "--set: window: expected YAML, found a mistake"),
        ("local_window", ["window=9", "egdes=clip"], '--set: expected one of .*, found "egdes"; did you mean "edges"?'),
        ("local_window", ["window=9", "implementation=eagre"], "--set: implementation: expected one of .*eagre"),
    ],
)
def test_words_that_do_not_fit_are_one_line(name: str, given: list[str], expected: str) -> None:
    with pytest.raises(SuiteError) as error:
        variant_cases(name, given, "--set", **check_variant.AXES)
    assert len(error.value.problems) == 1
    assert re.match(expected.replace("?", r"\?"), str(error.value)), str(error.value)


# Lengths


@pytest.mark.parametrize(
    ("name", "parameters", "n"),
    [
        ("full", {}, 64),
        ("local_window", {"window": 9}, 64),
        ("local_window", {"window": 65}, 128),
        ("local_window", {"window": 401, "edges": "slide"}, 1024),
        ("bigbird", {}, 2048),
    ],
)
def test_the_length_shows_structure(name: str, parameters: dict[str, Any], n: int) -> None:
    assert describe.spans(pattern_of(name, parameters), None).n == n


@dataclass(frozen=True)
class Only(Pattern):
    """Exists at one length alone."""

    only: int = parameter("the length")

    def spans(self, n: int) -> Spans:
        return Spans.of(n, (0, n))

    def unsupported(self, n: int) -> str | None:
        return None if n == self.only else "not at this length"


def test_a_pattern_of_odd_lengths_is_drawn_where_it_exists() -> None:
    assert describe.spans(Only(77), None).n == 77
    with pytest.raises(describe.Missing, match="not at this length"):
        describe.spans(Only(77), 78)
    with pytest.raises(describe.Missing, match="no length up to 2048; at N=1: not at this length"):
        describe.spans(Only(9999), None)


# Trials


class Stand:
    """A worker whose probes are told beforehand, by implementation and direction."""

    def __init__(self, told: dict[tuple[str, str], Probe]) -> None:
        self.told = told
        self.asked: list[tuple[str, str]] = []

    def ask(self, request: dict[str, Any], patience_s: float, heard: object = None) -> Any:
        asked = request["case"]["implementation"], request["case"]["direction"]
        self.asked.append(asked)
        return self.told[asked].to_json()

    def wait(self) -> None: ...

    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


def ended(status: Status, reason: str = "") -> Probe:
    return Probe("key", status, reason, max_abs_error=1.25e-7 if status is Status.PASSED else None)


def tried(told: dict[tuple[str, str], Probe]) -> tuple[list[Trial], list[tuple[str, str]]]:
    """The trials of these implementations, and what was asked for."""
    stand = Stand(told)
    names = list(dict.fromkeys(name for name, _ in told))
    cases = variant_cases("full", [f"implementation=[{', '.join(names)}]"], "--set", **check_variant.AXES)
    return list(check_variant.trials(cases, start_worker=lambda start, budget_bytes, folders: stand)), stand.asked


def test_an_implementation_without_gradients_is_tried_forward() -> None:
    no = ended(Status.UNSUPPORTED, "no gradients")
    found, asked = tried(
        {
            ("eager", "training"): ended(Status.PASSED),
            ("sdpa", "training"): no,
            ("sdpa", "forward"): ended(Status.PASSED),
            ("blockwise", "training"): no,
            ("blockwise", "forward"): ended(Status.UNSUPPORTED, "nothing at all"),
        }
    )
    assert list(map(str, found)) == [
        "passed, forward and gradients; largest error 1.2e-07",
        "passed, forward alone; largest error 1.2e-07",
        "unsupported: no gradients",
    ]
    assert len(asked) == 5
    assert not any(each.is_fault for each in found)


@pytest.mark.parametrize("status", [Status.WRONG, Status.CRASHED, Status.FAILED, Status.TIMED_OUT])
def test_a_fault_is_one(status: Status) -> None:
    (found,), asked = tried({("eager", "training"): ended(status, "bad")})
    assert (str(found), found.is_fault) == (f"{status}: bad", True)
    assert asked == [("eager", "training")], "not tried again"


def test_a_predicted_out_of_memory_is_none() -> None:
    probe = replace(ended(Status.OUT_OF_MEMORY, "predicted"), predicted=True)
    assert not tried({("eager", "training"): probe})[0][0].is_fault


# The verb


def show(*given: str, outcome: dict[str, Probe] | None = None) -> Result:
    """What `bench show` prints, with trials that end as told; those not told pass."""

    def trials(cases: list[Case], folders: tuple[Path, ...]) -> Iterator[Trial]:
        for each in cases:
            yield Trial(each, (outcome or {}).get(each.implementation, ended(Status.PASSED)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(check_variant, "trials", trials)
        return CliRunner().invoke(main, ["show", *given])


def test_it_shows_all_there_is(tmp_path: Path) -> None:
    out = tmp_path / "picture.svg"
    done = show("local_window", "--set", "window=17", "--set", "causal=true", "--out", str(out))
    assert done.exit_code == 0
    assert variants.describe("local_window") in done.output
    assert (
        "  window (default 512): an integer from 1 to 2147483647\n      keys per query in all, without sinks\n"
        in done.output
    )
    assert '  edges (default "clip"): one of clip, slide\n' in done.output
    assert f"file: {near(variants.file('local_window'))}\n" in done.output
    lines = done.output.splitlines()
    at = lines.index("local_window(window=17, causal=true) at N = 64, queries down, keys across")
    rows = "".join(lines[at + 2 : at + 34])
    assert set(rows) <= set(" ▀▄█")
    assert lines[at + 2] == "█▄", "the first query sees itself, the second both"
    assert "keys per query: 1 to 17, median 17" in lines
    assert "allowed pairs: 952 of 4,096 (23.2%)" in lines
    assert f"picture: {out}" in lines
    assert out.read_text().startswith("<svg")
    held = lines.index("held to the oracle in float64, at N = 1553 and at small odd lengths, in float32")
    shown = [name for name in kernels.names() if name != kernels.SHARED]
    assert [line.split()[0] for line in lines[held + 1 :]] == shown


def test_it_counts_at_the_length_asked_for(tmp_path: Path) -> None:
    out = tmp_path / "picture.png"
    done = show("block_local", "--set", "block=100", "--seq-len", "1001", "--out", str(out))
    assert done.exit_code == 0
    assert "block_local(block=100) at N = 1001, queries down, keys across; a cell is 16 x 16 pairs, set" in done.output
    assert "keys per query: 1 to 100, median 100\n" in done.output
    assert "allowed pairs: 100,001 of 1,002,001 (10.0%)" in done.output
    assert out.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        ({}, 0),
        ({"sdpa": ended(Status.UNSUPPORTED, "needs a mask")}, 0),
        ({"eager": ended(Status.WRONG, "output differs")}, 3),
        ({"eager": ended(Status.CRASHED, "its process was killed")}, 3),
    ],
)
def test_the_exit_code_says_whether_it_is_right(outcome: dict[str, Probe], code: int) -> None:
    done = show("full", outcome=outcome)
    assert done.exit_code == code
    for name, each in outcome.items():
        assert re.search(rf"^  {name} +{each.status}: {each.reason}$", done.output, re.MULTILINE)


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    for given, expected in [
        (["fulll"], 'found "fulll"; did you mean "full"?'),
        (["full", "--out", "picture.pdf"], "--out picture.pdf: expected a name that ends in .svg or .png; rename it"),
        (["full", "--out", str(tmp_path / "no" / "x.svg")], "expected a file that can be written, found: No such file"),
        (["full", "--seq-len", "0"], "0 is not in the range"),
    ]:
        done = show(*given)
        assert done.exit_code == 2, given
        assert expected in done.output.splitlines()[-1]


def test_a_parameter_without_a_default_is_asked_for(folder: Path) -> None:
    needed = "size: int = parameter('tokens in one')\n    def allowed(self, i, j, n): return i == j"
    source = RAISING.format(method="summary", other=needed).replace("import Pattern", "import parameter, Pattern")
    (folder / "mine.py").write_text(source)
    done = show("mine", "--variants", str(folder))
    assert done.exit_code == 2
    assert "\n  size (required): an integer from -2147483647 to 2147483647\n      tokens in one\n" in done.output
    assert done.output.splitlines()[-1] == "--set: size: expected a value, found nothing"
    assert show("mine", "--variants", str(folder), "--set", "size=3").exit_code == 0


def test_a_pattern_that_is_not_there_is_said(folder: Path) -> None:
    done = show("local_window", "--set", "window=9", "--set", "edges=slide", "--seq-len", "8")
    assert done.exit_code == 5
    assert done.output.splitlines()[-1].startswith("unsupported: edges: slide needs dilation * window <= seq_len")
    (folder / "mine.py").write_text(
        RAISING.format(method="summary", other="def allowed(self, i, j, n): return i % 2 == j % 2")
    )
    done = show("mine", "--variants", str(folder), "--seq-len", "5001")
    assert done.exit_code == 5
    assert done.output.splitlines()[-1].startswith("unsupported: query 0 at N=5001 sees 2501 separate runs of keys")


@pytest.mark.parametrize(("method", "other"), METHODS)
def test_a_pattern_that_raises_is_told_with_its_line(folder: Path, method: str, other: str) -> None:
    (folder / "mine.py").write_text(RAISING.format(method=method, other=other))
    done = show("mine", "--variants", str(folder))
    assert done.exit_code == 3
    assert done.output.splitlines()[-1] == (
        f"unsound: {folder / 'mine.py'}:8: expected a pattern at N=1, found ValueError: not today"
    )


def test_a_pattern_with_a_flaw_is_told(folder: Path) -> None:
    blind = RAISING.format(method="summary", other="def allowed(self, i, j, n): return (i == j) & (i != 4)")
    (folder / "mine.py").write_text(blind)
    done = show("mine", "--variants", str(folder))
    assert done.exit_code == 3
    assert done.output.splitlines()[-1].startswith("unsound: query 4 at N=5 sees no key; every query must see at least")


def test_the_file_is_named_as_seen_from_here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = RAISING.format(method="summary", other="def allowed(self, i, j, n): return i == j")
    (folder / "mine.py").write_text(source)
    monkeypatch.chdir(folder.parent)
    done = show("mine", "--variants", "mine")
    assert done.exit_code == 0
    assert "Source: here\n\nfile: mine/mine.py\n\nparameters\n  none\n" in done.output


def test_a_mechanism_that_is_no_pattern_is_told_its_work_instead_of_a_picture(folder: Path) -> None:
    done = show("linformer", "--set", "projected=8", "--seq-len", "65")
    assert done.exit_code == 0
    assert (
        f"{describe.NO_PATTERN}\nFLOPs of one head of 64 at N = 65, forward: {4 * 65 * 8 * 64 * 2:,}\n" in done.output
    )
    assert show("linformer", "--out", str(folder / "picture.svg")).exit_code == 2
    assert not (folder / "picture.svg").exists()
    assert show("nystromformer", "--seq-len", "100").exit_code == 5


@pytest.mark.parametrize("method", ["unsupported", "near"])
@pytest.mark.parametrize("work", ["Work(1)", "Work(0.5)", "7", "1 / 0"])
def test_a_mechanism_with_a_flaw_is_told(folder: Path, method: str, work: str) -> None:
    text = variants.file("linear").read_text().replace("    work=work,", f"    work=lambda *_: {work},")
    if work == "Work(1)":
        head = "class Linear(Parameters):\n"
        assert head in text
        text = text.replace(head, f"{head}    def {method}(self, n): raise ValueError('not today')\n\n")
    (folder / "mine.py").write_text(text)
    done = show("mine", "--variants", str(folder))
    assert done.exit_code == 3
    assert done.output.splitlines()[-1].startswith(f"unsound: {folder / 'mine.py'}")


WITHOUT_TORCH = """
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ImportError(name)

sys.meta_path.insert(0, NoTorch())
from attnbench.runner.cli import main
main(["show", "full"])
"""


def test_without_torch_all_but_the_check_is_shown() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "allowed pairs: 4,096 of 4,096 (100.0%)" in done.stdout
    assert done.stdout.splitlines()[-1] == "not checked: torch cannot be imported here"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("wrong", r"wrong: output differs from the oracle by .* at N=\d+, batch 0, head 0, row \d+"),
        ("crashing", "crashed: .*SIGSEGV"),
    ],
)
def test_for_real_a_kernel_that_is_wrong_or_dies_is_one_line(name: str, expected: str) -> None:
    command = [sys.executable, "-m", "attnbench.runner", "show", name, "--variants", str(HERE / "variants")]
    done = subprocess.run(
        [*command, "--set", "implementation=[own, sdpa]"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 3, done.stderr
    own, sdpa = done.stdout.splitlines()[-2:]
    assert re.match(f"  own   {expected}", own), own
    assert re.match(r"  sdpa  passed, forward and gradients; largest error \d\.\de-\d\d", sdpa)
    assert "Traceback" not in done.stderr
