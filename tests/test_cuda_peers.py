"""Peers for CUDA: what they give their packages, proved by stand-ins on the CPU."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import standins
import torch
from definitions import CASES, CUDA_PEERS, exists, label
from proofs import check_whole
from settings import pattern_of, setting

from attnbench.runner.worker.call.inputs import inputs
from attnbench.suites import shipped
from attnbench.suites.schema.load import load
from attnbench.variants import Shape, kernels
from attnbench.variants.peers import _cuda, _sequences

BOTH = ("flash_attn", "flash_attn_3")
WINDOWS: list[tuple[str, dict[str, Any]]] = [
    ("full", {}),
    ("full", {"causal": True}),
    ("local_window", {"window": 1}),
    ("local_window", {"window": 17}),
    ("local_window", {"window": 16}),
    ("local_window", {"window": 16, "causal": True}),
    ("truncated", {"left": 12, "right": 4}),
    ("truncated", {"left": 0, "right": 6}),
    ("truncated", {"left": None, "right": 5}),
    ("truncated", {"left": 7, "right": None}),
    ("truncated", {"left": 0, "right": 0, "chunk": 20}),
    ("block_local", {"block": 16}),
    ("block_local", {"block": 48, "causal": True}),
    ("document", {"lengths": (30, 7)}),
]
ENDING = [each for each in WINDOWS if each[0] != "truncated" and each[1].get("window") not in (16, 17)]
SLIDING: list[tuple[str, dict[str, Any]]] = [
    ("local_window", {"window": 17, "edges": "slide"}),
    ("local_window", {"window": 8, "dilation": 3, "edges": "slide"}),
    ("local_window", {"window": 9, "dilation": 3, "causal": True}),
    ("local_window", {"window": 12, "causal": True}),
    ("local_window_2d", {"window": (5, 4), "grid": (10, 13), "edges": "slide"}),
    ("local_window_2d", {"window": (3, 5), "grid": (13, 10), "dilation": (4, 2), "edges": "slide"}),
    ("local_window_2d", {"window": (4, 12), "grid": (10, 13), "causal": "across", "edges": "slide"}),
    ("local_window_2d", {"window": (3, 4), "grid": (13, 10), "dilation": (1, 2), "causal": "both"}),
]
TAKEN = [
    *((peer, *each) for peer in (*BOTH, "xformers") for each in WINDOWS),
    *(("flashinfer", *each) for each in [*ENDING, WINDOWS[5]]),
    *(("fla", *each) for each in WINDOWS if each[1].get("causal")),
    *(("natten", *each) for each in SLIDING),
]
N = 130
WINDOW = {"window": 17}


@pytest.fixture(autouse=True)
def _device(monkeypatch: pytest.MonkeyPatch) -> None:
    """All packages and a GPU seem to be there."""
    standins.pretend(monkeypatch)


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Stand-ins for all packages."""
    return standins.install(monkeypatch)


def tried(peer: str, n: int) -> Iterator[tuple[Shape, str]]:
    """Shapes and dtypes: several entries and shared key heads in both layouts, and a single entry."""
    kv_heads = 4 if peer == "xformers" else 2  # it shares none in training
    width = 64 if peer == "flashinfer" else 8
    yield Shape(2, 4, kv_heads, n, width), "bfloat16"
    yield Shape(2, 4, kv_heads, n, width, "bnhd"), "float32" if peer in ("natten", "xformers") else "float16"
    yield Shape(1, 2, 2, n, width), "bfloat16"


@pytest.mark.usefixtures("packages")
@pytest.mark.parametrize(("peer", "name", "parameters"), TAKEN, ids=label)
def test_it_equals_the_oracle(
    peer: str, name: str, parameters: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_cuda, "tried", lambda *_: None)
    pattern, direction = pattern_of(name, parameters), "forward" if peer == "flashinfer" else "training"
    for shape, dtype in tried(peer, N):
        assert kernels.load(peer).supports(pattern, setting(shape, dtype, "cuda", direction)) is None
        call = kernels.load(peer).build(pattern, setting(shape, dtype, "cpu", direction)).call
        given, grads = inputs(shape, dtype, "cpu"), direction == "training"
        assert check_whole(call, pattern.spans(N), given, grads=grads).problem is None


@pytest.mark.usefixtures("packages")
@pytest.mark.parametrize("n", [1, 2, 16])
@pytest.mark.parametrize("peer", [each for each in CUDA_PEERS if each != "natten"])
def test_it_equals_the_oracle_where_the_window_is_longer_than_the_sequence(peer: str, n: int) -> None:
    for name, parameters in [
        ("local_window", {"window": 33, "causal": True}),
        ("block_local", {"block": 64, "causal": True}),
    ]:
        (shape, dtype), pattern = next(tried(peer, n)), pattern_of(name, parameters)
        call = kernels.load(peer).build(pattern, setting(shape, dtype)).call
        assert check_whole(call, pattern.spans(n), inputs(shape, dtype, "cpu"), grads=False).problem is None


@pytest.mark.usefixtures("packages")
def test_xformers_shares_key_heads_without_gradients() -> None:
    for name, parameters in WINDOWS:
        pattern = pattern_of(name, parameters)
        for shape in (Shape(2, 6, 2, 61, 8), Shape(2, 6, 2, 61, 8, "bnhd")):
            call = kernels.load("xformers").build(pattern, setting(shape, "bfloat16")).call
            assert check_whole(call, pattern.spans(61), inputs(shape, "bfloat16", "cpu"), grads=False).problem is None


def test_every_case_of_the_shipped_suite_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_cuda, "tried", lambda *_: None)
    cases = load(shipped()["peers_gpu"]).cases()
    assert {case.implementation for case in cases} >= set(CUDA_PEERS)
    for case in cases:
        if case.implementation in CUDA_PEERS and case.setting.shape.seq_len < 65_536:
            assert kernels.load(case.implementation).supports(case.pattern, case.setting) is None, case.title


@pytest.mark.parametrize("peer", [each for each in CUDA_PEERS if each != "natten"])
def test_causal_attention_of_tokens_that_stand_alone_is_taken(peer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_cuda, "tried", lambda *_: None)
    for n, name, parameters in [(1, "full", {}), (5, "block_local", {"block": 1})]:
        shape, pattern = Shape(2, 4, 4, n, 64), pattern_of(name, {**parameters, "causal": True})
        assert kernels.load(peer).supports(pattern, setting(shape, "bfloat16", "cuda")) is None


@pytest.mark.parametrize(("name", "parameters"), CASES, ids=label)
def test_sequences_are_exactly_the_keys_of_the_pattern(name: str, parameters: dict[str, Any]) -> None:
    for n in (1, 5, 61, 130):
        if exists(name, parameters, n):
            spans = pattern_of(name, parameters).spans(n)
            found = _sequences.of(spans)
            if found:
                ends = found.bounds(1, "cpu").tolist()
                assert standins.blocks(ends, *found.window).equal(torch.from_numpy(spans.mask()))


@pytest.mark.parametrize(("name", "parameters"), WINDOWS, ids=label)
def test_windows_within_sequences_are_found(name: str, parameters: dict[str, Any]) -> None:
    found = _sequences.of(pattern_of(name, parameters).spans(N))
    assert found is not None
    cut = name in ("block_local", "document") or "chunk" in parameters
    assert found.cut == cut
    assert sum(found.lengths) == N


@pytest.mark.parametrize("module", ["flash_attn", "flash_attn_interface"])
@pytest.mark.parametrize("layout", ["bhnd", "bnhd"])
def test_flash_attention_gets_the_tensors_themselves(packages: dict[str, Any], module: str, layout: Any) -> None:
    shape, peer = Shape(2, 4, 2, 61, 8, layout), {"flash_attn": "flash_attn"}.get(module, "flash_attn_3")
    given = inputs(shape, "float16", "cpu")
    for pattern, causal, window in [
        (pattern_of("full", {}), False, (-1, -1)),
        (pattern_of("full", {"causal": True}), True, (-1, 0)),
        (pattern_of("local_window", WINDOW), False, (8, 8)),
        (pattern_of("truncated", {"left": 5, "right": None}), False, (5, -1)),
    ]:
        kernels.load(peer).build(pattern, setting(shape, "float16")).call(*given[:3])
        assert packages[module].told == {"causal": causal, "window_size": window}
        assert [each.data_ptr() for each in packages[module].given] == [each.data_ptr() for each in given[:3]]


CAUSAL = pattern_of("local_window", {"window": 12, "causal": True})
"""A window that every peer takes."""


def test_predicted_bytes_hold_what_the_sources_allocate() -> None:
    """T is a query tensor of 2**20 bytes, U a key tensor of half of that, L the sums."""
    shape, t, u = Shape(2, 4, 2, 1024, 64), 2**20, 2**19
    sums = 2 * 4 * 1024 * 4
    blocks, window = pattern_of("block_local", {"block": 256}), pattern_of("local_window", WINDOW)

    def predicted(peer: str, pattern: Any, direction: str, shape: Shape = shape) -> int:
        return kernels.load(peer).predict_bytes(pattern, setting(shape, "bfloat16", "cuda", direction), 0)

    assert predicted("flash_attn", window, "forward") == t + sums
    assert predicted("flash_attn", window, "backward") == (t + 2 * u) + (2 * t + sums) + 2 * t
    assert predicted("flash_attn_3", window, "training") == t + sums + (t + 2 * u) + (2 * t + sums) + 2 * 2 * u
    assert predicted("flash_attn", blocks, "forward") == t + sums + t + 2 * u
    assert predicted("flash_attn", blocks, "backward") == (t + 2 * u) + (t + 2 * u) + (2 * t + sums) * 3 // 2 + 2 * t
    assert predicted("xformers", window, "forward") == t + sums
    assert predicted("xformers", window, "backward", replace(shape, kv_heads=4)) == 3 * t + t + 2 * t + sums
    assert predicted("flashinfer", CAUSAL, "forward", replace(shape, layout="bnhd")) == t + sums
    assert predicted("flashinfer", CAUSAL, "forward") == t + sums + t + 2 * u
    assert predicted("fla", CAUSAL, "training", replace(shape, layout="bnhd")) == t + 2 * sums + 2 * (3 * t + 2 * u)
    assert predicted("fla", CAUSAL, "training", replace(shape, kv_heads=4)) == 4 * t + sums + 4 * t + sums
    assert predicted("natten", CAUSAL, "forward") == 5 * t + 2 * sums + 2 * t
    assert predicted("natten", CAUSAL, "training") == t + sums + 2 * t + 13 * t + 2 * sums + 2 * t
