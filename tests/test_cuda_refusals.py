"""Peers for CUDA: what they refuse, and in which words."""

import importlib.util
from dataclasses import replace
from typing import Any

import pytest
import standins
import torch
from definitions import CUDA_PEERS, label
from settings import pattern_of, setting
from torch import Tensor

from attnbench.variants import Shape, kernels
from attnbench.variants.kernels import Program
from attnbench.variants.peers import _cuda

FLASHES = ("flash_attn", "flash_attn_3")
WINDOW = {"window": 17}
SHAPE = Shape(1, 4, 2, 61, 64)
FLASH = " takes full attention, blocks, and windows without gaps, clipped at the ends"
NATTEN = (
    "natten takes local_window and local_window_2d of at least 2 keys in each dimension, without sinks, that slide "
    "(edges: slide) or are causal by axis"
)
ENDS = "flashinfer takes full or causal attention, blocks, and windows without gaps that end at the query"
Named = tuple[str, dict[str, Any]]
NO_WINDOW: list[Named] = [
    ("longformer", {"window": 17}),
    ("local_window", {"window": 17, "edges": "slide"}),
    ("local_window", {"window": 17, "dilation": 2}),
    ("local_window", {"window": 12, "causal": True, "sinks": 4}),
    ("truncated", {"left": 4, "right": 4, "chunk": 8}),
]
NOT_ENDING: list[Named] = [
    ("local_window", WINDOW),
    ("truncated", {"left": 5, "right": None}),
    ("bigbird", {"block": 8}),
]
NOT_SLIDING: list[Named] = [
    ("full", {}),
    ("local_window", WINDOW),
    ("local_window", {"window": 1, "causal": True}),
    ("local_window", {"window": 12, "causal": True, "sinks": 4}),
    ("local_window_2d", {"window": (3, 5), "grid": (1, 61)}),
    ("local_window_2d", {"window": (3, 5), "grid": (1, 61), "causal": True}),
    ("local_window_2d", {"window": (3, 5), "grid": (1, 61), "causal": "down"}),
]
NOT_CAUSAL: list[Named] = [("full", {}), ("block_local", {"block": 16}), *NOT_ENDING]
CAUSAL_ONLY = "fla takes causal attention, causal blocks, and windows without gaps that end at the query"
REFUSED: list[tuple[str, str, dict[str, Any], str]] = [
    *((peer, *each, peer + FLASH) for peer in (*FLASHES, "xformers") for each in NO_WINDOW),
    *(("flashinfer", *each, ENDS) for each in NOT_ENDING),
    *(("fla", *each, CAUSAL_ONLY) for each in NOT_CAUSAL),
    *(("natten", *each, NATTEN) for each in NOT_SLIDING),
    (
        "natten",
        "local_window",
        {"window": 31, "dilation": 2, "causal": True},
        "natten needs dilation * window <= seq_len, found 2 * 31 > 61",
    ),
    (
        "natten",
        "local_window_2d",
        {"window": (3, 5), "grid": (1, 61), "causal": "both"},
        "natten needs dilation * window <= side of the grid, found 1 * 3 > 1",
    ),
]


@pytest.fixture(autouse=True)
def _device(monkeypatch: pytest.MonkeyPatch) -> None:
    """All packages and a GPU seem to be there."""
    standins.pretend(monkeypatch)


@pytest.mark.parametrize(("peer", "name", "parameters", "expected"), REFUSED, ids=label)
def test_it_refuses_other_patterns(peer: str, name: str, parameters: dict[str, Any], expected: str) -> None:
    assert kernels.load(peer).supports(pattern_of(name, parameters), setting(SHAPE, "bfloat16", "cuda")) == expected


WIDE = {
    "fla": "a head_dim of at most 256",
    "natten": "a head_dim that is a multiple of 8",
    "flashinfer": "a head_dim of 64, 128, 256",
}
INSTALL = {
    "fla": ("flash-linear-attention 0.6.0", "pip install flash-linear-attention==0.6.0"),
    "flash_attn": ("flash-attn 2.8.3", "pip install --no-build-isolation flash-attn==2.8.3"),
    "flash_attn_3": (
        "flash_attn_3",
        "build it in the folder hopper of https://github.com/Dao-AILab/flash-attention",
    ),
    "flashinfer": ("flashinfer-python 0.7.4", "pip install flashinfer-python==0.7.4"),
    "natten": ("natten 0.21.7", "pip install --no-build-isolation natten==0.21.7"),
    "xformers": ("xformers 0.0.35", "pip install xformers==0.0.35"),
}
CAUSAL = pattern_of("local_window", {"window": 12, "causal": True})
"""A window that every peer takes."""


@pytest.mark.parametrize("peer", CUDA_PEERS)
def test_it_refuses_other_dtypes_widths_and_devices(peer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    supports, here = kernels.load(peer).supports, setting(SHAPE, "bfloat16", "cuda")
    known = ("float16, bfloat16") if peer in (*FLASHES, "fla", "flashinfer") else "float32, float16, bfloat16"
    assert supports(CAUSAL, replace(here, dtype="float64")) == f"{peer} computes in {known}, found float64"
    if peer != "xformers":  # it says so itself
        odd = replace(here, shape=replace(SHAPE, head_dim=300))
        expected = WIDE.get(peer, "a head_dim that is a multiple of 8, at most 256")
        assert supports(CAUSAL, odd) == f"{peer} takes {expected}, found 300"
    reason = supports(CAUSAL, replace(here, device="cpu"))
    assert reason is not None
    assert reason.startswith(f"{peer} runs on cuda only, found cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert supports(CAUSAL, here) == "no CUDA device here"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    requirement, install = INSTALL[peer]
    assert supports(CAUSAL, here) == f"{peer} needs the package {requirement}, found none; {install}"


def test_it_refuses_gradients_that_a_package_does_not_have() -> None:
    training = setting(SHAPE, "bfloat16", "cuda", "training")
    assert kernels.load("flashinfer").supports(CAUSAL, training) == (
        "flashinfer has no gradients, found training; measure forward"
    )
    assert kernels.load("xformers").supports(CAUSAL, training) == (
        "xformers has no gradients of grouped key heads, found kv_heads 2 and heads 4; measure forward"
    )


def test_flash_attention_3_is_not_called_on_a_device_without_its_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (10, 0))
    monkeypatch.setattr(_cuda, "tried", lambda *_: None)
    here = setting(SHAPE, "bfloat16", "cuda")
    assert kernels.load("flash_attn").supports(CAUSAL, here) is None
    assert kernels.load("flash_attn_3").supports(CAUSAL, here) == (
        "flash_attn_3 has kernels up to compute capability 9.0, found 10.0"
    )


def test_natten_without_its_kernels_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    standins.install(monkeypatch)["natten"].HAS_LIBNATTEN = False
    with pytest.raises(NotImplementedError, match="built without kernels for CUDA"):
        kernels.load("natten").build(CAUSAL, setting(SHAPE, "bfloat16", "cuda"))


@pytest.mark.parametrize("direction", ["forward", "training"])
def test_a_trial_says_in_the_packages_words_why_it_refuses(direction: str) -> None:
    here = setting(SHAPE, "bfloat16", "cpu", direction)
    found: list[Tensor] = []

    def build(pattern: object, asked: Any) -> Program:
        assert (asked.shape.batch, asked.shape.heads, asked.shape.kv_heads) == (1, 2, 1)

        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            found.extend((q, k, v))
            return q * k * v

        return Program(attend)

    def refuses(pattern: object, asked: object) -> Program:
        raise ValueError("no kernel\n    for this")

    def loses(pattern: object, asked: object) -> Program:
        raise torch.OutOfMemoryError

    assert _cuda.tried("peer", build, CAUSAL, here) is None
    assert [each.requires_grad for each in found] == 3 * [direction == "training"]
    assert _cuda.tried("peer", refuses, CAUSAL, here) == "peer refuses this call: no kernel for this"
    with pytest.raises(torch.OutOfMemoryError):
        _cuda.tried("peer", loses, CAUSAL, here)


def test_an_error_of_the_device_is_a_refusal_if_the_device_still_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(pattern: object, asked: object) -> Program:
        raise torch.AcceleratorError("CUDA error: no kernel image is available")

    def lost() -> None:
        raise torch.AcceleratorError("CUDA error: gone")

    here = setting(SHAPE, "bfloat16", "cpu")
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    refused = _cuda.tried("peer", build, CAUSAL, here)
    assert refused == "peer refuses this call: CUDA error: no kernel image is available"
    monkeypatch.setattr(torch.cuda, "synchronize", lost)
    with pytest.raises(torch.AcceleratorError, match="gone"):
        _cuda.tried("peer", build, CAUSAL, here)
