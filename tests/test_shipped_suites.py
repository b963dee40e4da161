"""Every suite that ships can be run as it is: its cases exist, fit, and each group has what it is compared with."""

from pathlib import Path

import pytest

from attnbench.runner.worker import admission
from attnbench.runner.worker.proof.expected import MOST_PAIRS
from attnbench.suites import Case, shipped
from attnbench.suites.schema.load import load
from attnbench.variants import DECODE, Pattern
from attnbench.variants import OWN as OWN_BUILD

NAMES = sorted(shipped())
OWN = sorted((Path(__file__).parent / "benchmarks").glob("*.yaml"))
MEASURED = ("window", "sparsity", "training", "threads")
"""Suites that hold the length or ask another question than where a pattern starts to pay."""


def cases(name: str) -> list[Case]:
    return load(shipped()[name]).cases()


def keys_per_query(case: Case) -> float:
    return case.pattern.spans(case.setting.shape.seq_len).pairs() / case.setting.shape.seq_len


@pytest.mark.parametrize("name", NAMES)
def test_a_suite_opens_with_what_it_is_and_its_question(name: str) -> None:
    suite = load(shipped()[name])
    assert suite.question.endswith("?")
    head = suite.source.splitlines()[1]
    assert head.startswith("# ")
    assert head.endswith(".") or suite.source.splitlines()[2].startswith("# ")
    assert "MINUTES" not in suite.source


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.stem)
def test_the_projects_own_benchmarks_are_suites(path: Path) -> None:
    for case in load(path).cases():
        assert case.parameters.unsupported(case.setting.shape.seq_len) is None


@pytest.mark.parametrize("name", NAMES)
def test_every_case_exists_and_its_peak_is_foretold(name: str) -> None:
    """A dry run: patterns exist at their lengths, implementations take them, and none needs a large machine."""
    for case in cases(name):
        assert case.parameters.unsupported(case.setting.shape.seq_len) is None, case.title
        if case.setting.device == "cpu" and case.implementation != OWN_BUILD:
            implementation = admission.implementation(case)
            refused = implementation.supports(case.pattern, case.setting)
            # Packages of other projects may be absent.
            assert refused is None or "needs the package" in refused, case.title
            assert implementation.predict_bytes(case.pattern, case.setting, 2) < 4 * 2**30, case.title


@pytest.mark.parametrize("name", NAMES)
def test_every_case_on_a_cpu_is_proved_whole(name: str) -> None:
    for case in cases(name):
        if case.setting.device == "cpu" and case.setting.direction != DECODE:
            shape, parameters = case.setting.shape, case.parameters
            n = shape.seq_len
            pairs = parameters.spans(n).pairs() if isinstance(parameters, Pattern) else n**2
            assert pairs * shape.batch * shape.heads <= MOST_PAIRS, case.title


@pytest.mark.parametrize("name", MEASURED)
def test_every_group_has_its_baseline(name: str) -> None:
    suite = load(shipped()[name])
    assert suite.baseline[0] == "full/sdpa"
    assert all(suite.baselines_of(case) for case in suite.cases())


@pytest.mark.parametrize("name", ["window", "sparsity"])
def test_a_sweep_holds_the_length_and_varies_keys(name: str) -> None:
    found: dict[tuple[str, str, str], set[float]] = {}
    for case in cases(name):
        assert case.setting.shape.seq_len == 4096
        if case.mechanism.name != "full":
            found.setdefault((case.mechanism.name, case.implementation, case.setting.direction), set()).add(
                keys_per_query(case)
            )
    assert len(found) >= 6
    for sweep in found.values():
        assert len(sweep) >= 4
        assert min(sweep) < 4096 / 16, "sparse at one end"
    widest = max(max(sweep) for sweep in found.values())
    assert widest > 4096 * (0.7 if name == "sparsity" else 0.3), "and dense at the other"


def test_sparsity_has_its_control() -> None:
    found = {(case.mechanism.name, case.implementation) for case in cases("sparsity")}
    for variant in ("local_window", "bigbird"):
        assert {(variant, "native"), (variant, "sdpa_masked")} <= found


def test_decoding_goes_to_long_contexts() -> None:
    found = cases("decode")
    assert {case.setting.direction for case in found} == {DECODE}
    for level, least in (("attention", 7), ("layer(positions=rotary)", 2)):
        there = [case for case in found if case.setting.level == level]
        lengths = {case.setting.shape.seq_len for case in there}
        assert (max(lengths), len(lengths)) == (65_536, least)
        assert {"full", "local_window", "gated_delta"} <= {case.mechanism.name for case in there}
    assert {"longformer", "linear"} <= {case.mechanism.name for case in found}


def test_what_the_other_suites_vary() -> None:
    assert {case.setting.threads for case in cases("threads")} == {1, 2, "auto"}
    assert {case.setting.direction for case in cases("training")} == {"forward", "backward", "training"}
    gpu = cases("gpu")
    assert {case.setting.dtype for case in gpu} == {"bfloat16"}
    assert max(case.setting.shape.seq_len for case in gpu) == 65_536


def test_every_suite_lies_beside_its_schema() -> None:
    assert all((Path(path).parent / "schema.json").is_file() for path in shipped().values())
