"""The seed of a suite: it reaches inputs, weights, and every process that measures."""

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from settings import case_of
from stages import unheard
from test_run import bench

from attnbench.runner.worker.call import programs
from attnbench.runner.worker.call.inputs import inputs
from attnbench.runner.worker.call.weights import weights
from attnbench.runner.worker.probe import probe
from attnbench.runner.workers.prober import Prober
from attnbench.suites import Case, Status
from attnbench.suites.origin import Origin
from attnbench.suites.schema.limits import Budget
from attnbench.suites.schema.load import SuiteError, parse
from attnbench.variants import Shape

SUITE = """
name: seeded
question: Does the seed reach the inputs?
shape: {heads: 2, head_dim: 8, seq_len: 64}
variants: [seen]
measure: {processes: 2, values: 2, value_ms: 1}
"""
SEEN = '''
"""Full attention that writes down the process and the largest query of every call at N = 64."""

import os
from pathlib import Path

from attnbench.variants import Variant, full
from attnbench.variants.kernels import Program, sdpa


def build(parameters, setting):
    kernel = sdpa.build(parameters, setting)

    def call(q, k, v):
        if q.shape[2] == 64:
            with Path(__file__).with_suffix(".txt").open("a") as file:
                print(os.getpid(), float(q.max()), file=file)
        return kernel.call(q, k, v)

    return Program(call)


VARIANT = Variant(full.Full, source="Nobody 2026", build=build)
'''


def case(name: str, seq_len: int = 61, implementation: str = "own") -> Case:
    parameters = {"performer": {"features": 8}, "linformer": {"projected": 3}, "local_window": {"window": 17}}[name]
    return case_of(name, parameters, implementation, Shape(1, 2, 1, seq_len, 8))


def test_a_seed_has_two_contents_of_its_own() -> None:
    assert Origin().contents == (0, 1), "those of runs before there were other seeds"
    numbers = [number for seed in range(5) for number in Origin(seed).contents]
    assert numbers == [*range(10)]


@pytest.mark.parametrize("name", ["performer", "linformer"])
def test_weights_differ_between_seeds_and_are_equal_for_one(name: str) -> None:
    made = case(name)
    (first, again, other), which = (weights(made, seed)[0] for seed in (4, 4, 6)), weights(made, 5)[0]
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(first, which) == (name == "performer"), "only learned weights differ between contents"
    for same in (replace(made, implementation="other"), made.changed(direction="training")):
        assert torch.equal(first, weights(same, 4)[0])


@pytest.mark.parametrize("name", ["performer", "linformer"])
def test_a_program_is_built_with_the_weights_of_its_seed(name: str) -> None:
    program, given = programs.build(case(name), 4), inputs(Shape(1, 2, 1, 61, 8), "float32", "cpu", 4)
    assert all(torch.equal(*pair) for pair in zip(program.weights, weights(case(name), 4), strict=True))
    other = programs.build(case(name), 6)
    assert not torch.equal(program.call(*given[:3]), other.call(*given[:3]))


@pytest.mark.parametrize("name", ["performer", "linformer", "local_window", "reformer"])
def test_a_case_passes_with_another_seed_and_gives_another_output(name: str) -> None:
    made = case_of("reformer", {"chunk": 8}, "own", Shape(1, 2, 2, 128, 8)) if name == "reformer" else case(name)
    made = made if name != "local_window" else replace(made, implementation="blockwise")
    first, again, other = (probe(made, 2**30, unheard, None, Origin(seed)) for seed in (0, 0, 7))
    assert {each.status for each in (first, again, other)} == {Status.PASSED}, other.reason
    assert first.output_digest == again.output_digest != other.output_digest
    assert first.error_vs_full == again.error_vs_full != other.error_vs_full


def test_a_case_of_another_seed_is_the_same_case() -> None:
    (zero,), (seven,) = (parse(SUITE.replace("[seen]", "[full]") + f"seed: {seed}").cases() for seed in (0, 7))
    assert zero.key == seven.key


def test_implementations_get_the_same_inputs_from_a_worker() -> None:
    found = {}
    for seed in (0, 7):
        with closing(Prober(Budget(), 2**30, origin=Origin(seed))) as prober:
            pair = [prober.probe(case("local_window", 61, each)) for each in ("blockwise", "eager")]
        found[seed] = [each.error_vs_full for each in pair]
        assert found[seed][0] == found[seed][1] is not None
    assert found[0] != found[7]


@pytest.mark.slow
def test_the_seed_of_a_suite_reaches_every_process_that_measures(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/seen.py").write_text(SEEN)
    (tmp_path / "s.yaml").write_text(SUITE + "seed: 7\n")
    done = bench("run", "s.yaml", "--variants", "mine", "--out", "run", "--profile", "--quiet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    a, b = (float(inputs(Shape(1, 2, 2, 64, 8), "float32", "cpu", each).q.max()) for each in (14, 15))
    seen: dict[str, set[float]] = {}
    for line in (tmp_path / "mine/seen.txt").read_text().splitlines():
        process, largest = line.split()
        seen.setdefault(process, set()).add(float(largest))
    # A value's rows are rotated, which leaves the largest number; the probe also mixes A and B.
    assert len(seen) == 4, "a probe, two replicates and a profile"
    assert sorted(map(len, seen.values()))[:3] == [1, 1, 1]
    assert all(a in each for each in seen.values())
    assert any(b in each for each in seen.values())
    assert json.loads((tmp_path / "run/run.json").read_text())["seed"] == 7


@pytest.mark.parametrize("seed", ["-1", "2147483648", "1.5", "true", "[1]"])
def test_a_seed_is_a_small_integer(seed: str) -> None:
    with pytest.raises(SuiteError, match=r"s\.yaml:6:7: seed: expected"):
        parse(SUITE.replace("[seen]", "[full]").lstrip() + f"seed: {seed}", "s.yaml")
