"""Peers: what they compute, allocate and refuse, and that nothing loads their packages before they are built."""

import importlib.util
import json
import subprocess
import sys
from importlib import metadata
from typing import Any

import pytest
from definitions import CUDA_PEERS, PEERS, label
from proofs import check_whole
from settings import case_of, pattern_of, setting

from attnbench.runner.machine import environment, memory
from attnbench.runner.worker.call import calls, programs
from attnbench.runner.worker.call.inputs import inputs
from attnbench.variants import Shape, kernels

PACKAGES = {"hf_bigbird": "transformers", "hf_longformer": "transformers", "local_attention": "local_attention"}
SHAPES = [
    Shape(1, 3, 3, 1, 8),
    Shape(2, 3, 3, 5, 8),
    Shape(2, 2, 2, 61, 16, "bnhd"),
    Shape(1, 2, 2, 130, 33),
    Shape(1, 1, 1, 256, 8, "bnhd"),
    Shape(2, 3, 3, 259, 8),
]
TAKEN: list[tuple[str, str, dict[str, Any]]] = [
    *(("local_attention", "local_window", {"window": w, "causal": c}) for w in (1, 3, 17, 65) for c in (False, True)),
    *(("local_attention", "local_window", {"window": 16, "causal": c}) for c in (False, True)),
    *(
        ("local_attention", "truncated", {"left": left, "right": right})
        for left, right in [(12, 4), (5, 3), (0, 6), (6, 0), (0, 0), (8, 8)]
    ),
    *(("hf_bigbird", "bigbird", {"block": 4, "random": r, "seed": seed}) for r, seed in ((1, 0), (3, 0), (3, 7))),
    *(("hf_longformer", "local_window", {"window": window}) for window in (5, 17, 65)),
    *(("hf_longformer", "longformer", {"window": w, "globals": g}) for w in (5, 17, 65) for g in (0, 1, 7)),
]
LOCAL = (
    "local_attention takes local_window with dilation 1, edges clip and no sinks, "
    "or truncated with left and right and no chunks"
)
LONG = "hf_longformer takes longformer and local_window, not causal, dilation 1, edges clip, odd window >= 5"
BIG = "hf_bigbird takes bigbird, not causal, window 3, globals 2"
BLOCKS = "hf_bigbird takes random >= 1 and at least random + 5 blocks, found random"
REFUSED: list[tuple[str, str, dict[str, Any], str]] = [
    ("local_attention", "full", {}, LOCAL),
    ("local_attention", "longformer", {"window": 17, "globals": 0}, LOCAL),
    ("local_attention", "local_window", {"window": 17, "dilation": 2}, LOCAL),
    ("local_attention", "local_window", {"window": 17, "edges": "slide"}, LOCAL),
    ("local_attention", "truncated", {"left": None, "right": 0}, LOCAL),
    ("local_attention", "truncated", {"left": 4, "right": None}, LOCAL),
    ("local_attention", "truncated", {"left": 4, "right": 4, "chunk": 2}, LOCAL),
    ("local_attention", "local_window", {"window": 16, "causal": True, "sinks": 4}, LOCAL),
    ("hf_bigbird", "full", {}, BIG),
    ("hf_bigbird", "bigbird", {"block": 4, "causal": True}, BIG),
    ("hf_bigbird", "bigbird", {"block": 4, "window": 5}, BIG),
    ("hf_bigbird", "bigbird", {"block": 4, "globals": 3}, BIG),
    ("hf_bigbird", "bigbird", {"block": 4, "random": 0}, f"{BLOCKS} 0 and 16 blocks"),
    ("hf_bigbird", "bigbird", {"block": 8, "random": 4}, f"{BLOCKS} 4 and 8 blocks"),
    ("hf_longformer", "full", {}, LONG),
    ("hf_longformer", "truncated", {"left": 8, "right": 8}, LONG),
    ("hf_longformer", "longformer", {"window": 17, "causal": True}, LONG),
    ("hf_longformer", "longformer", {"window": 3}, LONG),
    ("hf_longformer", "local_window", {"window": 3}, LONG),
    ("hf_longformer", "local_window", {"window": 16}, LONG),
    ("hf_longformer", "local_window", {"window": 17, "causal": True}, LONG),
    ("hf_longformer", "local_window", {"window": 17, "dilation": 3}, LONG),
    ("hf_longformer", "local_window", {"window": 17, "edges": "slide"}, LONG),
]


@pytest.fixture
def _absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """No package can be found."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)


@pytest.fixture
def _present(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every package can be found, but none is loaded."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)


def test_every_peer_is_listed() -> None:
    assert sorted([*PACKAGES, *CUDA_PEERS]) == list(PEERS)
    assert set(PEERS) < set(kernels.names())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize(("peer", "name", "parameters"), TAKEN, ids=label)
def test_it_equals_the_oracle(peer: str, name: str, parameters: dict[str, Any], dtype: str) -> None:
    pytest.importorskip(PACKAGES[peer])
    pattern = pattern_of(name, parameters)
    for shape in SHAPES if dtype == "float32" else SHAPES[2:4]:
        if name == "bigbird" and shape.seq_len < 61:
            continue
        asked = setting(shape, dtype, direction="training")
        assert kernels.load(peer).supports(pattern, asked) is None
        call, given = kernels.load(peer).build(pattern, asked).call, inputs(shape, dtype, "cpu")
        assert check_whole(call, pattern.spans(shape.seq_len), given).problem is None
        assert check_whole(call, pattern.spans(shape.seq_len), given, grads=False).problem is None


def test_local_attention_equals_the_oracle_in_float64() -> None:
    pytest.importorskip("local_attention")
    pattern, shape = pattern_of("local_window", {"window": 17}), Shape(2, 3, 3, 61, 8)
    call = kernels.load("local_attention").build(pattern, setting(shape, "float64")).call
    assert check_whole(call, pattern.spans(61), inputs(shape, "float64", "cpu")).problem is None


def test_it_counts_the_scores_of_the_buckets_that_are_seen() -> None:
    pytest.importorskip("local_attention")
    for parameters, pairs in [({"left": 12, "right": 4}, 64 * 20), ({"left": 16, "right": 0}, 64 * 32)]:
        shape = setting(Shape(2, 3, 3, 61, 8))
        made = kernels.load("local_attention").build(pattern_of("truncated", parameters), shape)
        assert made.computed_pairs == 6 * pairs


@pytest.mark.parametrize("direction", ["forward", "backward", "training"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("peer", "name", "parameters"),
    [
        ("local_attention", "local_window", {"window": 129, "causal": True}),
        ("local_attention", "truncated", {"left": 12, "right": 4}),
        ("hf_longformer", "local_window", {"window": 65}),
        ("hf_longformer", "longformer", {"window": 129, "globals": 2}),
        ("hf_bigbird", "bigbird", {"block": 16}),
        ("hf_bigbird", "bigbird", {"block": 64, "random": 1}),
    ],
    ids=label,
)
def test_predicted_bytes_are_those_allocated(
    peer: str, name: str, parameters: dict[str, Any], dtype: str, direction: str
) -> None:
    pytest.importorskip(PACKAGES[peer])
    for shape in (Shape(1, 2, 2, 512, 64), Shape(1, 4, 4, 384, 64, "bnhd"), Shape(2, 3, 3, 400, 32)):
        case = case_of(name, parameters, peer, shape, dtype, "cpu", direction)
        call = calls.call(programs.build(case), inputs(shape, dtype, "cpu"), case.setting.direction).run
        call()
        predicted = kernels.load(peer).predict_bytes(case.pattern, case.setting, 1)
        assert predicted == pytest.approx(memory.cpu_peaks(call).allocated_bytes, rel=0.1)


@pytest.mark.usefixtures("_present")
@pytest.mark.parametrize(("peer", "name", "parameters", "expected"), REFUSED, ids=label)
def test_it_refuses_other_patterns(peer: str, name: str, parameters: dict[str, Any], expected: str) -> None:
    assert kernels.load(peer).supports(pattern_of(name, parameters), setting(Shape(1, 2, 2, 61, 8))) == expected


@pytest.mark.usefixtures("_present")
def test_it_refuses_what_the_packages_cannot_compute() -> None:
    pattern, grouped = pattern_of("local_window", {"window": 17}), setting(Shape(1, 6, 2, 61, 8))
    for peer in PACKAGES:
        expected = f"{peer} takes as many kv_heads as heads, found kv_heads 2 and heads 6"
        assert kernels.load(peer).supports(pattern, grouped) == expected
    reason = kernels.load("hf_longformer").supports(pattern, setting(Shape(1, 2, 2, 61, 8), "float64"))
    assert reason == "hf_longformer computes its softmax in float32, found float64"


@pytest.mark.usefixtures("_absent")
@pytest.mark.parametrize(
    ("peer", "package"),
    [
        ("local_attention", "local-attention 1.11.2"),
        ("hf_bigbird", "transformers 4.50 or later"),
        ("hf_longformer", "transformers 4.50 or later"),
    ],
)
def test_a_missing_package_is_named(peer: str, package: str) -> None:
    reason = kernels.load(peer).supports(pattern_of("local_window", {"window": 17}), setting(Shape(1, 2, 2, 61, 8)))
    assert reason == f"{peer} needs the package {package}, found none; pip install 'attnbench[peers]'"


def test_installed_packages_have_their_versions_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", lambda package: {"transformers": "5.1"}.get(package) or absent(package))
    assert environment.of_torch()["peers"] == "transformers 5.1"
    monkeypatch.setattr(metadata, "version", absent)
    assert environment.of_torch()["peers"] is None


def absent(package: str) -> str:
    raise metadata.PackageNotFoundError(package)


def test_loading_a_peer_leaves_its_package_out() -> None:
    code = (
        "import json, sys\nfrom attnbench.variants import kernels\n"
        "for name in kernels.names(): kernels.load(name)\nprint(json.dumps(list(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert {f"attnbench.variants.peers.{peer}" for peer in PEERS} <= loaded
    assert loaded & set(PACKAGES.values()) == set()
