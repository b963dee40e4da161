"""Variants of one's own: patterns as conditions, flaws that are found, kernels with a reference, broken files."""

import importlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from definitions import CASES, defined, exists, label
from folders import forgotten
from hypothesis import given, settings
from hypothesis import strategies as st
from proofs import check_whole, step
from settings import case_of, check, pattern_of, setting
from stages import unheard
from torch import Tensor

from attnbench import variants
from attnbench.runner.cli import main
from attnbench.runner.worker.call import mechanisms
from attnbench.runner.worker.call.inputs import inputs
from attnbench.runner.worker.probe import probe
from attnbench.runner.worker.proof import expected, oracle, verdict
from attnbench.suites import Probe, Status
from attnbench.suites.schema.load import SuiteError, parse
from attnbench.variants import (
    BoolArray,
    Direction,
    IntArray,
    Pattern,
    Shape,
    Spans,
    TooManySpans,
    Variant,
    _pattern,
    flaw,
    kernels,
    parameter,
)
from attnbench.variants.kernels.blockwise import plan
from attnbench.variants.truncated import Truncated

ODD = (1, 2, 5, 61, 130)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for variants, which are forgotten afterwards."""
    (tmp_path / "mine").mkdir()
    with forgotten():
        yield tmp_path / "mine"


# A pattern as a condition


@dataclass(frozen=True)
class Asked(Pattern):
    """A pattern of `definitions`, pair by pair, from its name and parameters."""

    name: str = parameter("a variant")
    place: int = parameter("which of its parameters")

    def allowed(self, i: IntArray, j: IntArray, n: int) -> BoolArray:
        parameters = [given for name, given in CASES if name == self.name][self.place]
        return defined(self.name, parameters, n)[i, j]


@dataclass(frozen=True)
class Window(Pattern):
    """`truncated` as a condition."""

    left: int = parameter("keys before the query")
    right: int = parameter("keys after it")

    def allowed(self, i: IntArray, j: IntArray, n: int) -> BoolArray:
        return np.asarray((i - j <= self.left) & (j - i <= self.right))


@dataclass(frozen=True)
class LogSparse(Pattern):
    """Distances 0, 1, 2, 4, 8, ... before the query: many pieces a row."""

    def allowed(self, i: IntArray, j: IntArray, n: int) -> BoolArray:
        return np.asarray((i >= j) & ((i - j) & (i - j - 1) == 0))


@dataclass(frozen=True)
class Chequered(Pattern):
    """Every other key: the most pieces that a row can have."""

    def allowed(self, i: IntArray, j: IntArray, n: int) -> BoolArray:
        return np.asarray((i - j) % 2 == 0)


@pytest.mark.parametrize("n", [1, 5, 61])
@pytest.mark.parametrize(("name", "parameters"), CASES, ids=label)
def test_a_condition_is_the_same_pattern(name: str, parameters: dict[str, Any], n: int) -> None:
    if not exists(name, parameters, n):
        assert pattern_of(name, parameters).unsupported(n)
        return
    place = [given for other, given in CASES if other == name].index(parameters)
    spans, theirs = Asked(name, place).spans(n), pattern_of(name, parameters).spans(n)
    assert (spans.mask() == theirs.mask()).all()
    assert (spans.counts() == theirs.counts()).all()


@settings(max_examples=50)
@given(data=st.data())
def test_any_table_becomes_its_spans(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 30), label="n")
    table = np.array(data.draw(st.lists(st.booleans(), min_size=n * n, max_size=n * n))).reshape(n, n)
    at_once = data.draw(st.integers(1, n * n + 5), label="pairs at once")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_pattern, "_ASKED_AT_ONCE", at_once)
        spans = Spans.where(n, lambda i, j: table[i, j])
    assert (spans.mask() == table).all()
    assert (spans.counts() == table.sum(axis=1)).all()
    assert spans.n == n


def test_never_all_pairs_at_once() -> None:
    asked: list[int] = []

    def allowed(i: IntArray, j: IntArray) -> BoolArray:
        asked.append(np.broadcast(i, j).size)
        return np.asarray(i == j)

    assert Spans.where(3001, allowed).pairs() == 3001
    assert max(asked) <= 2**20
    assert sum(asked) == 3001**2


@pytest.mark.parametrize("n", ODD)
def test_a_band_is_planned_as_one_that_gives_spans(n: int) -> None:
    ours, theirs = Window(9, 4).spans(n), Truncated(9, 4).spans(n)
    assert (ours.start == theirs.start).all()
    assert (ours.stop == theirs.stop).all()
    assert [group.pairs for group in plan.plan(ours)] == [group.pairs for group in plan.plan(theirs)]


@pytest.mark.parametrize("implementation", ["blockwise", "eager", "sdpa_masked"])
@pytest.mark.parametrize("pattern", [Window(9, 4), LogSparse(), Chequered()], ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("n", ODD)
def test_every_implementation_takes_a_condition(implementation: str, pattern: Pattern, n: int) -> None:
    shape = Shape(1, 4, 2, n, 8)
    assert kernels.load(implementation).supports(pattern, setting(shape, "float32", "cpu", "training")) is None
    assert kernels.load(implementation).predict_bytes(pattern, setting(shape, "float32", "cpu", "training"), 1) > 0
    kernel = kernels.load(implementation).build(pattern, setting(shape, "float32", "cpu"))
    assert check(kernel.call, pattern.spans(n), shape, "float32", "cpu", gradients=True).problem is None


def test_a_condition_is_asked_once_for_a_length() -> None:
    assert LogSparse().spans(61) is LogSparse().spans(61)
    assert Window(1, 2).spans(61) is not Window(2, 1).spans(61)


def test_asking_is_part_of_the_preparation_that_is_timed(folder: Path) -> None:
    body = "    def allowed(self, i, j, n): LENGTHS.append(n); return i == j"
    found = probed(folder, "mine", "LENGTHS = []\n" + PATTERN.format(body=body, more=""))
    assert found.status is Status.PASSED, found.reason
    lengths = importlib.import_module("attnbench.variants.mine").LENGTHS
    assert lengths.count(61) == 2, "once to admit the case, once more while its preparation is timed"


def test_scattered_rows_have_a_bound() -> None:
    assert Chequered().spans(2048).pairs() == 2048**2 // 2
    with pytest.raises(TooManySpans, match=r"query 0 at N=2049 sees 1025 separate runs of keys.* at most 1023 .*spans"):
        Chequered().spans(2049)


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (lambda i, j: (i - j) % 2, r"found int64 \[5, 5\]"),
        (lambda i, j: i[:3] == j, r"found bool \[3, 5\]"),
        (lambda i, j: None, r"found object \[\]"),
    ],
)
def test_a_condition_of_another_kind_is_refused(answer: Callable[[IntArray, IntArray], Any], found: str) -> None:
    with pytest.raises(TypeError, match=r"allowed\(i, j, n\): expected an array of bool \[5, 5\], " + found):
        Spans.where(5, answer)


def test_an_answer_that_does_not_depend_on_both_is_broadcast() -> None:
    assert Spans.where(3, lambda i, j: j == 0).mask().tolist() == [[True, False, False]] * 3
    assert Spans.where(3, lambda i, j: np.array(True)).pairs() == 9


def test_a_pattern_needs_one_of_both() -> None:
    with pytest.raises(NotImplementedError, match="Pattern: expected spans"):
        Pattern().spans(3)


def test_spans_say_which_pairs_are_allowed() -> None:
    i, j = np.arange(61)[:, None], np.arange(61)[None, :]
    assert (Truncated(9, 4).allowed(i, j, 61) == Window(9, 4).allowed(i, j, 61)).all()


# Flaws


@dataclass(frozen=True)
class Given(Pattern):
    """Whatever spans a test hands over."""

    made: Any = None

    def __post_init__(self) -> None:
        """Take anything."""

    def spans(self, n: int) -> Spans:
        made: Spans = self.made(n)
        return made


@dataclass(frozen=True)
class Both(Pattern):
    """`spans` and an `allowed` that differs from them by one key."""

    more: bool = parameter("whether `allowed` sees one more, or one less")

    def spans(self, n: int) -> Spans:
        return Window(3 - self.more, 0).spans(n)

    def allowed(self, i: IntArray, j: IntArray, n: int) -> BoolArray:
        return np.asarray((i - j <= 2 + self.more) & (i >= j))


def spans_of(start: Any, stop: Any, step: Any) -> Callable[[int], Spans]:
    """Spans as they stand, nothing cut off."""
    return lambda n: Spans(*(np.asarray(each) for each in (start, stop, step)))


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (lambda n: Spans.of(n, (np.where(np.arange(n) == 3, n, 0), n)), "query 3 at N=7 sees no key; every query must"),
        (lambda n: Spans.of(n, (0, 4), (2, 5)), "query 0 at N=7 sees 5 keys, and its spans hold 7; the spans of a row"),
        (spans_of([[0]] * 7, [[8]] * 7, [[1]] * 7), "query 0 at N=7: expected 0 <= start <= stop <= 7 and step >= 1, "),
        (spans_of([[-1]] * 7, [[7]] * 7, [[1]] * 7), "found start -1, stop 7, step 1; make spans with Spans.of"),
        (spans_of([[0]] * 7, [[7]] * 7, [[0]] * 7), "found start 0, stop 7, step 0"),
        (spans_of([[0]] * 6, [[6]] * 6, [[1]] * 6), "spans at N=7: expected start as int64 [7, S], found int64 [6, 1]"),
        (spans_of([0] * 7, [7] * 7, [1] * 7), "expected start as int64 [7, S], found int64 [7]"),
        (spans_of([[0.0]] * 7, [[7]] * 7, [[1]] * 7), "expected start as int64 [7, S], found float64 [7, 1]"),
        (spans_of([[0]] * 7, [[7, 7]] * 7, [[1]] * 7), "expected stop as int64 [7, S], found int64 [7, 2]"),
        (lambda n: [(0, n)], "spans at N=7: expected Spans, found list; make them with Spans.of"),
    ],
)
def test_a_flaw_is_named(made: Callable[[int], Any], expected: str) -> None:
    assert expected in str(flaw(Given(made), 7))


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (True, "query 3 at N=7 sees key 0 by allowed and not by spans; make them agree, or leave one out"),
        (False, "query 3 at N=7 sees key 0 by spans and not by allowed"),
    ],
)
def test_two_definitions_that_differ_are_told_by_their_first_pair(more: bool, expected: str) -> None:
    assert expected in str(flaw(Both(more), 7))
    assert flaw(Both(more), 3) is None, "too short to differ"


def test_beyond_small_lengths_nothing_is_looked_at_pair_by_pair() -> None:
    assert flaw(Both(True), 513) is None
    assert "sees no key" in str(flaw(Given(lambda n: Spans.of(n, (np.arange(n) % 2, 1))), 100_001))


@pytest.mark.parametrize(("name", "parameters"), CASES, ids=label)
def test_what_ships_has_no_flaw(name: str, parameters: dict[str, Any]) -> None:
    for n in (each for each in (1, 2, 3, 7, 61, 389, 4099) if exists(name, parameters, each)):
        assert flaw(pattern_of(name, parameters), n) is None


def probed(
    folder: Path,
    name: str,
    source: str,
    n: int = 61,
    implementation: str = "blockwise",
    direction: Direction = "training",
) -> Probe:
    """The probe of a variant that is written into the folder, in this process."""
    (folder / f"{name}.py").write_text(source)
    variants.extend(folder)
    shape = Shape(1, 2, 1, n, 8)
    return probe(case_of(name, {}, implementation, shape, "float32", "cpu", direction, 1), 2**30, unheard)


PATTERN = """
from dataclasses import dataclass
import numpy as np
from attnbench.variants import Pattern, Spans, Variant, parameter

@dataclass(frozen=True)
class Mine(Pattern):
{body}

VARIANT = Variant(Mine, source="here"{more})
"""


@pytest.mark.parametrize(
    ("body", "n", "status", "reason"),
    [
        ("    def allowed(self, i, j, n): return j < i", 61, Status.FAILED, "query 0 at N=61 sees no key"),
        (
            "    def allowed(self, i, j, n): return (j <= i) & ((n > 9) | (i != 4))",
            61,
            Status.FAILED,
            "query 4 at N=5 sees no key",
        ),
        (
            "    def allowed(self, i, j, n): return (i - j) % 2 == 0",
            2049,
            Status.UNSUPPORTED,
            "query 0 at N=2049 sees 1025 separate runs",
        ),
        (
            "    def allowed(self, i, j, n): return i if j else i",
            61,
            Status.FAILED,
            "ValueError: The truth value of an",
        ),
        (
            "    def spans(self, n): return Spans.of(n, (0, n), (0, 1))",
            61,
            Status.FAILED,
            "query 0 at N=61 sees 61 keys",
        ),
    ],
)
def test_a_flawed_pattern_ends_its_case(folder: Path, body: str, n: int, status: Status, reason: str) -> None:
    found = probed(folder, "mine", PATTERN.format(body=body, more=""), n)
    assert found.status is status
    assert reason in found.reason


FULL = "    def spans(self, n): return Spans.of(n, (0, n))"
BUILD = """
def build(pattern, setting):
    from attnbench.variants.kernels import Program, eager
    shape, dtype, device = setting.shape, setting.dtype, setting.device
    {first}
    attend = eager.build(pattern, setting).call
    return Program({attend})

"""
BLOCKS = "if shape.seq_len % 64: raise NotImplementedError('N must be a multiple of 64')"


def with_kernel(first: str, attend: str = "attend") -> str:
    """The source of full attention with a kernel of its own, which does something else first."""
    source = PATTERN.format(body=FULL, more=", build=build")
    return source.replace("VARIANT", BUILD.format(first=first, attend=attend) + "VARIANT")


OF_VERSION_0_1 = """
from torch.nn.functional import scaled_dot_product_attention
from attnbench.variants import Variant
from attnbench.variants.full import Full
from attnbench.variants.kernels import Kernel

def build(pattern, shape, dtype, device):
    pairs = shape.batch * shape.heads * shape.seq_len**2
    return Kernel(scaled_dot_product_attention, pairs, prepared_bytes=7)

VARIANT = Variant(Full, source="here", build=build)
"""


def test_a_kernel_of_version_0_1_is_taken(folder: Path) -> None:
    found = probed(folder, "mine", OF_VERSION_0_1, 128, "own")
    assert found.status is Status.PASSED, found.reason
    assert found.computed_pairs == found.allowed_pairs
    assert found.prepared_bytes == 7


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        ("NotImplementedError('no')", Status.UNSUPPORTED, "NotImplementedError: no"),
        ("ImportError('no')", Status.UNSUPPORTED, "ImportError: no"),
        ("ValueError('no')", Status.FAILED, "at N=1: ValueError: no"),
    ],
)
def test_a_kernel_may_refuse(folder: Path, error: str, status: Status, reason: str) -> None:
    found = probed(folder, "mine", with_kernel(f"raise {error}"), implementation="own")
    assert (found.status, found.reason) == (status, reason)


@pytest.mark.parametrize(
    ("attend", "status", "reason"),
    [
        ("attend", Status.PASSED, ""),
        ("lambda q, k, v: attend(q, k, v - 0.5 * (v - v.detach()))", Status.WRONG, "dV differs from the oracle by "),
    ],
    ids=["right", "half of dV"],
)
def test_lengths_that_a_kernel_refuses_are_left_out(folder: Path, attend: str, status: Status, reason: str) -> None:
    found = probed(folder, "mine", with_kernel(BLOCKS, attend), 128, "own")
    assert found.status is status, found.reason
    assert found.reason.startswith(reason)


@pytest.mark.parametrize(
    ("first", "attend", "reason"),
    [
        ("assert shape.seq_len % 64 == 0, 'whole blocks alone'", "attend", "AssertionError: whole blocks alone"),
        ("pass", "lambda q, k, v: 1 / 0", "ZeroDivisionError: division by zero"),
    ],
    ids=["built", "called"],
)
def test_a_fault_at_a_small_length_is_told_with_it(folder: Path, first: str, attend: str, reason: str) -> None:
    found = probed(folder, "mine", with_kernel(first, attend), 128, "own")
    assert (found.status, found.reason) == (Status.FAILED, f"at N=1: {reason}")


ALONE = """    def spans(self, n): return Spans.of(n, (np.arange(n), np.arange(n) + 1))
    def unsupported(self, n): return None if n == 9999 else "another length"
"""


@pytest.mark.parametrize("direction", ["forward", "backward", "training"])
def test_a_pattern_of_one_length_is_proved_there(folder: Path, direction: Direction) -> None:
    found = probed(folder, "mine", PATTERN.format(body=ALONE, more=""), 9999, direction=direction)
    assert (found.status, found.proved) == (Status.PASSED, 1)


# A reference


def phi(tensor: Tensor) -> Tensor:
    return torch.nn.functional.elu(tensor) + 1


def linear_rows(q: Tensor, k: Tensor, v: Tensor, rows: Tensor) -> Tensor:
    """Linear attention of some rows, pair by pair."""
    k, v = (each.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for each in (k, v))
    weights = phi(q[:, :, rows]) @ phi(k).transpose(-2, -1)
    return weights @ v / weights.sum(dim=-1, keepdim=True)


def linear(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The same by two products."""
    k, v = (each.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for each in (k, v))
    return phi(q) @ (phi(k).transpose(-2, -1) @ v) / (phi(q) @ phi(k).sum(dim=-2).unsqueeze(-1))


def everything(n: int) -> Spans:
    return Spans.of(n, (0, n))


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("n", [1, 5, 97])
def test_a_reference_is_the_oracle(n: int, gradients: bool, dtype: str) -> None:
    asked = everything(n), Shape(1, 4, 2, n, 8), dtype, "cpu"
    assert check(linear, *asked, gradients=gradients, reference=linear_rows).problem is None
    off = check(lambda q, k, v: linear(q, k, v) * 1.1, *asked, gradients=gradients, reference=linear_rows)
    assert "output differs from the oracle" in str(off.problem)


def softmax(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return oracle.attention(q, k, v, torch.ones(q.shape[2], k.shape[2], dtype=torch.bool))


@pytest.mark.parametrize(("attend", "right"), [(linear, True), (softmax, False)])
def test_a_reference_judges_rows_at_any_length(attend: Callable[..., Tensor], right: bool) -> None:
    given = inputs(Shape(2, 4, 2, 389, 8), "float32", "cpu", 0)
    assert (check_whole(attend, everything(389), given, reference=linear_rows).problem is None) is right

    def mixed(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        out = linear(q, k, v)
        return out + (torch.arange(389) == 388)[:, None]

    assert "row 388" in str(check_whole(mixed, everything(389), given, reference=linear_rows).problem)


@pytest.mark.parametrize("strange", [0.0, float("inf"), float("nan")])
def test_a_reference_that_overflows_proves_nothing(strange: float) -> None:
    """Held to such a yardstick zeros would pass, or nothing would."""

    def overflows(q: Tensor, k: Tensor, v: Tensor, rows: Tensor) -> Tensor:
        right = linear_rows(q, k, v, rows)
        return right if q.dtype == torch.float64 else right * 0 + strange

    shape = Shape(1, 2, 2, 61, 8)
    found = check(linear, everything(61), shape, "float32", "cpu", reference=overflows)
    assert "reference in float32 is off by" in str(found.problem)
    assert "at N=61: it proves nothing" in str(found.problem)


def test_of_a_reference_beyond_the_most_pairs_a_few_rows_are_asked() -> None:
    given = inputs(Shape(1, 2, 2, 97, 8), "float32", "cpu", 0)
    want = expected.of_reference(linear_rows, 2**40, given, grads=True, step=step)
    assert want.proved == pytest.approx(16 / 97 / 4)
    found = (linear(*given[:3]), *(torch.full_like(each, 7.0) for each in given[:3]))
    assert verdict.judge(found, want, given, None, step).problem is None
    found[0][0, 0, 0] += 1
    assert verdict.judge(found, want, given, None, step).problem is not None


REFERENCE = """
from attnbench.variants.full import Full
from attnbench.variants import Variant

def build(pattern, setting):
    raise NotImplementedError("nothing here")

def reference(pattern, q, k, v, rows):
    return q{what}

VARIANT = Variant(Full, source="here", build=build, reference=reference)
"""


@pytest.mark.parametrize(
    ("what", "found"),
    [
        ("", r"found torch.float32 \[1, 2, 61, 8\]"),
        ("[:, :, rows].double()", r"found torch.float64 \[1, 2, 3, 8\]"),
        ("[:, :1, rows]", r"found torch.float32 \[1, 1, 3, 8\]"),
    ],
)
def test_a_reference_of_another_shape_or_dtype_is_refused(folder: Path, what: str, found: str) -> None:
    (folder / "mine.py").write_text(REFERENCE.format(what=what))
    variants.extend(folder)
    shape = Shape(1, 2, 1, 61, 8)
    reference = mechanisms.reference(case_of("mine", {"causal": False}, "own", shape, "float32", "cpu", "forward", 1))
    assert reference is not None
    q, k, v, _ = inputs(shape, "float32", "cpu", 0)
    message = r"reference: expected torch.float32 \[1, 2, 3, 8\] for 3 rows, "
    with pytest.raises(TypeError, match=message + found):
        reference(q, k, v, torch.tensor([0, 7, 60]))


SUITE = "name: n\nquestion: Q?\nshape: {seq_len: 64}\nvariants: [mine: {implementation: %s}]\n"


def test_what_has_a_reference_is_computed_by_its_own_kernel_alone(folder: Path) -> None:
    (folder / "mine.py").write_text(REFERENCE.format(what="[:, :, rows]"))
    variants.extend(folder)
    assert [case.implementation for case in parse(SUITE % "own").cases()] == ["own"]
    with pytest.raises(SuiteError, match="mine.implementation: expected own, found"):
        parse(SUITE % "eager")


# Broken files

SOUND = PATTERN.format(body='    size: int = parameter("how many")\n    def spans(self, n): return None', more="")
PARAMETER = 'parameter("how many")'
BROKEN = [
    pytest.param("x = 1\ndef f(:\n", ":2: expected a variant, found SyntaxError: ", id="syntax"),
    pytest.param("x = 1\n\ny = 1 / 0\n", ":3: expected a variant, found ZeroDivisionError: division by", id="raising"),
    pytest.param("import nowhere\n", ":1: expected a variant, found ModuleNotFoundError: No module", id="import"),
    pytest.param("raise SystemExit(7)\n", ":1: expected a variant, found SystemExit: 7", id="exit"),
    pytest.param("x = 1\n", ": expected VARIANT = Variant(...), found none; a file that is no", id="no-variant"),
    pytest.param("\nVARIANT = 3\n", ":2: expected VARIANT = Variant(...), found 3; ", id="another-variant"),
    pytest.param("x = '\0'\n", ":", id="zero-byte"),
    pytest.param(b"x = '\xff'\n", ":", id="no-utf-8"),
    pytest.param(
        "from attnbench.variants import Variant\nVARIANT = Variant(dict, source='')\n",
        ":2: expected Variant(...) to begin with a subclass of Pattern or of Parameters, found <class 'dict'>",
        id="no-pattern",
    ),
    pytest.param(
        SOUND.replace("@dataclass(frozen=True)\n", ""),
        ":6: expected @dataclass(frozen=True) above class Mine, found none",
        id="no-dataclass",
    ),
    pytest.param(
        SOUND.replace("(frozen=True)", ""),
        ":6: expected a variant, found TypeError: cannot inherit non-frozen dataclass from a frozen one",
        id="not-frozen",
    ),
    pytest.param(
        SOUND.replace("def spans", "def spams"),
        ":7: expected spans(n) or allowed(i, j, n) in class Mine, found neither",
        id="no-keys",
    ),
    pytest.param(
        SOUND.replace(f" = {PARAMETER}", " = 3"),
        ':8: parameter size: expected size: ... = parameter("what it is"), found no word on what it is',
        id="no-parameter",
    ),
    pytest.param(
        SOUND.replace("size: int", "size: list[int]"),
        ":8: parameter size: expected int, tuple[int, int], tuple[int, ...], float, bool, str, None or Literal, found "
        "list[int]",
        id="odd-type",
    ),
    pytest.param(
        "from __future__ import annotations\n" + SOUND,
        ":9: parameter size: expected a type, found the text 'int'; remove `from __future__ import annotations`",
        id="text-as-type",
    ),
    pytest.param(
        SOUND.replace("size: int", "heads: int"),
        ":8: parameter heads: expected a name that no key of a suite has; rename it",
        id="taken-parameter",
    ),
    pytest.param(
        PATTERN.format(body="    def spans(self, n): return None", more=", implementation='fast'"),
        ":10: expected an implementation of ",
        id="no-implementation",
    ),
    pytest.param(
        PATTERN.format(body="    def spans(self, n): return None", more=", reference=print"),
        ":10: expected a build beside the reference, found none",
        id="no-build",
    ),
]


@pytest.mark.parametrize(("source", "expected"), BROKEN)
def test_a_broken_file_is_one_line_for_those_who_name_it(folder: Path, source: str | bytes, expected: str) -> None:
    path = folder / "mine.py"
    path.write_bytes(source if isinstance(source, bytes) else source.encode())
    suite = "name: n\nquestion: Q?\nshape: {seq_len: 64}\nvariants: [%s]\n"
    for name in ("full", "mine"):
        (folder.parent / f"{name}.yaml").write_text(suite % name)
    for words in (["show", "mine"], ["validate", str(folder.parent / "mine.yaml")]):
        done = CliRunner().invoke(main, [*words, "--variants", str(folder)])
        assert done.exit_code == 2, words
        (line,) = done.output.splitlines()
        assert line.startswith(f"{path}{expected}"), words
    done = CliRunner().invoke(main, ["validate", str(folder.parent / "full.yaml"), "--variants", str(folder)])
    assert (done.exit_code, done.output) == (0, f"{folder.parent / 'full.yaml'}: 1 cases\n")


@pytest.mark.parametrize("verb", ["list", "schema"])
def test_verbs_that_name_every_variant_tell_every_broken_file(folder: Path, verb: str) -> None:
    for name in ("one", "two"):
        (folder / f"{name}.py").write_text("x = 1 / 0\n")
    done = CliRunner().invoke(main, [verb, "--variants", str(folder)])
    assert done.exit_code == 2
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == [
        str(folder / "one.py"),
        str(folder / "two.py"),
    ]
    assert "local_window" in done.stdout
    assert "  one" not in done.stdout


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import nowhere\n", ["No module named 'nowhere'", sys.executable, "PYTHONPATH", "attnbench.variants._NAME"]),
        ("import _common\n", ["import attnbench.variants._common"]),
        ("from attnbench.variants.common import X\n", ["import attnbench.variants._common"]),
        ("import plain\n", ["rename plain.py to _plain.py and import attnbench.variants._plain"]),
    ],
)
def test_a_module_that_is_not_found_says_from_where_they_are(folder: Path, source: str, said: list[str]) -> None:
    (folder / "_common.py").write_text("")
    (folder / "plain.py").write_text("")
    (folder / "mine.py").write_text(source)
    done = CliRunner().invoke(main, ["show", "mine", "--variants", str(folder)])
    assert done.exit_code == 2
    (line,) = done.output.splitlines()
    assert line.startswith(f"{folder / 'mine.py'}:1: ")
    assert [words for words in said if words not in line] == []


def test_an_unknown_variant_names_the_option_that_finds_others() -> None:
    done = CliRunner().invoke(main, ["show", "local_windw"])
    assert done.exit_code == 2
    (line,) = done.output.splitlines()
    assert 'did you mean "local_window"?' in line
    assert "--variants FOLDER" in line
    assert "--bench-variants" in line


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("my-variant.py", "expected a name of letters, digits and _, found my-variant; rename the file"),
        ("3d.py", "expected a name of letters, digits and _, found 3d; rename the file"),
        ("full.py", "expected a name that is free, found full, which is taken; rename it"),
        ("kernels.py", "expected a name that is free, found kernels, which is taken; rename it"),
        ("_pattern.py", "expected a name that is free, found _pattern, which is taken; rename it"),
    ],
)
def test_a_file_whose_name_cannot_be_is_one_error(folder: Path, file: str, expected: str) -> None:
    (folder / file).write_text("")
    done = CliRunner().invoke(main, ["list", "--variants", str(folder)])
    assert done.exit_code == 2
    assert done.output.splitlines()[-1] == f"Error: --variants {folder / file}: {expected}"


def test_a_folder_that_is_none_is_one_error(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["list", "--variants", str(tmp_path / "none")])
    assert done.exit_code == 2
    assert (
        done.output.splitlines()[-1] == f"Error: --variants {tmp_path}/none: expected a folder of variants, found none"
    )


def test_files_that_begin_with_an_underscore_are_shared(folder: Path) -> None:
    (folder / "_sizes.py").write_text("SIZE = 7\n")
    (folder / ".hidden-1.py").write_text("x = 1 / 0\n")
    body = "    def spans(self, n): return Spans.of(n, (0, n))"
    source = PATTERN.format(body=body, more="")
    (folder / "mine.py").write_text("from attnbench.variants._sizes import SIZE as SIZE\n" + source)
    variants.extend(folder)
    assert isinstance(variants.load("mine"), Variant)
    assert variants.file("mine") == folder / "mine.py"
    assert not {"_sizes", ".hidden-1"} & set(variants.names())
    done = CliRunner().invoke(main, ["list", "--variants", str(folder)])
    assert done.exit_code == 0
    assert "\n  mine\n" in done.output, "without a docstring, the name alone"


def test_no_file_of_a_variant_that_is_not_there() -> None:
    with pytest.raises(KeyError):
        variants.file("no_such_variant")
