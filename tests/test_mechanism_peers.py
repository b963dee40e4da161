"""Peers of mechanisms that are no pattern: what they compute, allocate and refuse, and that they load nothing."""

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from commands import bench
from definitions import CUDA_MECHANISM_PEERS, label
from settings import case_of

from attnbench.runner.machine import memory
from attnbench.runner.worker import admission
from attnbench.runner.worker.admission import Ended
from attnbench.runner.worker.call import calls, programs
from attnbench.runner.worker.call.inputs import inputs
from attnbench.runner.worker.proof import small
from attnbench.runner.worker.small_lengths import must_give
from attnbench.suites import Case
from attnbench.suites.schema import load
from attnbench.variants import DECODE, Shape, mechanism_peers

LINFORMER, REFORMER, NYSTROMFORMER = "lucidrains_linformer", "lucidrains_reformer", "hf_nystromformer"
PACKAGES = {LINFORMER: "linformer", REFORMER: "reformer_pytorch", NYSTROMFORMER: "transformers"}
NAMES = {LINFORMER: "linformer 0.2.3", REFORMER: "reformer-pytorch 1.4.4", NYSTROMFORMER: "transformers 4.50 or later"}
TAKEN: list[tuple[str, dict[str, Any], int]] = [
    (LINFORMER, {"projected": 3}, 2),
    (LINFORMER, {"projected": 16}, 61),
    (REFORMER, {"rounds": 1, "rotations": 3, "chunk": 1}, 2),
    (REFORMER, {"rounds": 1, "rotations": 3, "chunk": 5}, 70),
    (REFORMER, {"rounds": 1, "rotations": 32, "chunk": 16}, 32),
    (NYSTROMFORMER, {"landmarks": 1, "steps": 2}, 5),
    (NYSTROMFORMER, {"landmarks": 7}, 63),
]


def case(
    peer: str, parameters: dict[str, Any], shape: Shape, dtype: str = "float32", direction: str = "training"
) -> Case:
    """A case of a peer."""
    return case_of(mechanism_peers.load(peer).VARIANT, parameters, peer, shape, dtype, "cpu", direction)


def refused(made: Case) -> str:
    """Why a case is refused."""
    with pytest.raises(Ended) as ended:
        admission.admit(made, 2**40)
    return str(ended.value)


@pytest.fixture
def _present(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every package can be found, but none is loaded."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)


@pytest.mark.parametrize("layout", ["bhnd", "bnhd"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
@pytest.mark.parametrize(("peer", "parameters", "n"), TAKEN, ids=label)
def test_it_equals_the_reference_of_its_variant_with_all_gradients(
    peer: str, parameters: dict[str, Any], n: int, dtype: str, layout: Any
) -> None:
    pytest.importorskip(PACKAGES[peer])
    made = case(peer, parameters, Shape(2, 3, 3, n, 8, layout), dtype)
    if mechanism_peers.load(peer).supports(made.parameters, made.setting):
        assert (peer, dtype) in [(NYSTROMFORMER, "bfloat16"), (NYSTROMFORMER, "float16"), (REFORMER, "float16")]
        return
    program = programs.build(made)
    assert small.check(program, made.setting, partial(must_give, made, program, None)).problem is None


@pytest.mark.parametrize("direction", ["forward", "backward", "training"])
@pytest.mark.parametrize(
    ("peer", "parameters"),
    [
        (LINFORMER, {"projected": 16}),
        (LINFORMER, {"projected": 128}),
        (REFORMER, {"rounds": 1, "rotations": 4, "chunk": 16}),
        (REFORMER, {"rounds": 1, "rotations": 4, "chunk": 64}),
        (REFORMER, {"rounds": 1, "rotations": 512, "chunk": 16}),
        (NYSTROMFORMER, {"landmarks": 16}),
        (NYSTROMFORMER, {"landmarks": 128, "steps": 3}),
    ],
    ids=label,
)
def test_predicted_bytes_are_those_allocated(peer: str, parameters: dict[str, Any], direction: str) -> None:
    pytest.importorskip(PACKAGES[peer])
    for dtype in ("float32", "bfloat16", "float64"):
        for shape in (Shape(1, 2, 2, 512, 64), Shape(1, 8, 8, 256, 64, "bnhd"), Shape(2, 3, 3, 384, 32)):
            made = case(peer, parameters, shape, dtype, direction)
            found = mechanism_peers.load(peer)
            if found.supports(made.parameters, made.setting) is None:
                call = calls.call(programs.build(made), inputs(shape, dtype, "cpu"), made.setting.direction).run
                call()
                predicted = found.predict_bytes(made.parameters, made.setting, 1)
                assert predicted == pytest.approx(memory.cpu_peaks(call).allocated_bytes, rel=0.1)


@pytest.mark.usefixtures("_present")
@pytest.mark.parametrize(
    ("peer", "parameters", "expected"),
    [
        (
            REFORMER,
            {"rounds": 2, "chunk": 8},
            f"{REFORMER} joins the chunks of all rounds to one ring, "
            "which is the variant with rounds 1, found rounds 2",
        ),
        (
            REFORMER,
            {"rounds": 1, "chunk": 64},
            f"{REFORMER} takes seq_len as a multiple of two chunks, found 64 and chunk 64",
        ),
        (
            NYSTROMFORMER,
            {"landmarks": 64},
            f"{NYSTROMFORMER} computes full attention with as many landmarks as tokens, found 64",
        ),
    ],
    ids=label,
)
def test_it_refuses_what_the_package_computes_otherwise(peer: str, parameters: dict[str, Any], expected: str) -> None:
    assert refused(case(peer, parameters, Shape(1, 2, 2, 64, 8))) == expected


@pytest.mark.usefixtures("_present")
@pytest.mark.parametrize("peer", sorted(PACKAGES))
def test_it_refuses_other_settings(peer: str) -> None:
    shape, parameters = Shape(2, 2, 2, 128, 8), {"rounds": 1} if peer == REFORMER else {}
    assert f"{peer} takes as many kv_heads as heads" in refused(case(peer, parameters, Shape(1, 6, 2, 128, 8)))
    padded = case(peer, parameters, replace(shape, padding="padded(lengths=128x3)"))
    assert refused(padded) == f"{peer} computes all N tokens of every sequence, and this batch is padded"
    decoding = case(peer, parameters, shape, direction=DECODE)
    assert mechanism_peers.load(peer).supports(decoding.parameters, decoding.setting) == f"{peer} does not decode"


@pytest.mark.parametrize("peer", sorted(PACKAGES))
def test_a_missing_package_is_named(peer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    expected = f"{peer} needs the package {NAMES[peer]}, found none; pip install 'attnbench[peers]'"
    assert refused(case(peer, {"rounds": 1} if peer == REFORMER else {}, Shape(1, 2, 2, 128, 8))) == expected


def test_a_suite_chooses_a_peer_and_own_stays_the_default() -> None:
    suite = {"name": "it", "question": "?", "shape": {"seq_len": 64}, "variants": ["linformer"]}
    assert [each.implementation for each in load.from_dict(suite, "it").cases()] == ["own"]
    both = {**suite, "variants": [{"linformer": {"implementation": ["own", LINFORMER]}}], "baseline": "linformer/own"}
    assert [each.implementation for each in load.from_dict(both, "it").cases()] == ["own", LINFORMER]
    excluded = {**both, "exclude": [{"implementation": LINFORMER}]}
    assert [each.implementation for each in load.from_dict(excluded, "it").cases()] == ["own"]
    with pytest.raises(load.SuiteError, match="implementation"):
        load.from_dict({**suite, "variants": [{"reformer": {"implementation": LINFORMER}}]}, "it")


def test_lists_and_descriptions_name_the_peers_of_a_variant() -> None:
    assert f"      implementations: own, {REFORMER}" in bench("list")[1].splitlines()
    assert f"implementations: own, {REFORMER}" in bench("show", "reformer")[1].splitlines()


def test_every_peer_is_listed_and_loads_neither_torch_nor_its_package() -> None:
    code = (
        "import json, sys\nfrom attnbench.variants import mechanism_peers\n"
        "print(json.dumps([mechanism_peers.names(), list(sys.modules)]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    listed, loaded = json.loads(done.stdout)
    assert sorted([*PACKAGES, *CUDA_MECHANISM_PEERS]) == listed
    assert not {"torch", "fla", *PACKAGES.values()} & set(loaded)
