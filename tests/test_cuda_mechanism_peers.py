"""Peers for CUDA of mechanisms that are no pattern: what they give their package, proved by stand-ins on the CPU."""

import importlib.util
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import standins
import torch
from definitions import CUDA_MECHANISM_PEERS, label
from settings import case_of, setting

from attnbench.runner.worker.call import programs
from attnbench.runner.worker.proof import small
from attnbench.runner.worker.small_lengths import must_give
from attnbench.suites import Case, shipped
from attnbench.suites.schema.load import load
from attnbench.variants import DECODE, Shape, mechanism_peers

SHAPE = Shape(2, 3, 3, 70, 8)
PARAMETERS: dict[str, dict[str, Any]] = {"fla_linear": {"causal": True}, "fla_gated_linear": {"rank": 3}}


def case(peer: str, shape: Shape = SHAPE, dtype: str = "bfloat16", device: str = "cpu") -> Case:
    """A case of a peer, in training."""
    variant, parameters = mechanism_peers.load(peer).VARIANT, PARAMETERS.get(peer, {})
    return case_of(variant, parameters, peer, shape, dtype, device, "training")


def refusal(peer: str, made: Case) -> str | None:
    """Why a peer does not take a case, or None."""
    return mechanism_peers.load(peer).supports(made.parameters, made.setting)


@pytest.fixture
def _device(monkeypatch: pytest.MonkeyPatch) -> None:
    standins.pretend(monkeypatch)


@pytest.mark.parametrize(
    "shape",
    [SHAPE, replace(SHAPE, layout="bnhd"), Shape(1, 1, 1, 1, 8), Shape(1, 2, 2, 65, 16)],
    ids=label,
)
@pytest.mark.parametrize("peer", CUDA_MECHANISM_PEERS)
def test_it_equals_the_reference_of_its_variant_with_all_gradients(
    peer: str, shape: Shape, monkeypatch: pytest.MonkeyPatch
) -> None:
    standins.install(monkeypatch)
    for dtype in ("bfloat16", "float32"):
        made = case(peer, shape, dtype)
        program = programs.build(made)
        assert small.check(program, made.setting, partial(must_give, made, program, None)).problem is None


@pytest.mark.usefixtures("_device")
@pytest.mark.parametrize("peer", CUDA_MECHANISM_PEERS)
def test_it_takes_16_bits_on_cuda_and_refuses_other_settings(peer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = case(peer, device="cuda")
    assert refusal(peer, made) is None
    assert refusal(peer, case(peer, dtype="float32", device="cuda")) == (
        f"{peer} computes in float16, bfloat16, found float32"
    )
    assert refusal(peer, case(peer)) == f"{peer} runs on cuda only, found cpu"
    shared = refusal(peer, case(peer, Shape(2, 4, 2, 70, 8), device="cuda"))
    assert shared == f"{peer} takes as many kv_heads as heads, found kv_heads 2 and heads 4"
    decoding = replace(made, setting=replace(made.setting, direction=DECODE))
    assert refusal(peer, decoding) == f"{peer} does not decode"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert refusal(peer, made) == "no CUDA device here"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert refusal(peer, made) == (
        f"{peer} needs the package flash-linear-attention 0.6.0, found none; pip install flash-linear-attention==0.6.0"
    )


@pytest.mark.usefixtures("_device")
def test_it_refuses_what_the_package_computes_otherwise() -> None:
    parallel = case_of("linear", {}, "fla_linear", SHAPE, "bfloat16", "cuda")
    assert refusal("fla_linear", parallel) == "fla_linear is always causal"
    assert refusal("fla_linear", case("fla_linear", SHAPE, "float16", "cuda")) is not None
    wide = case("fla_gated_delta", Shape(1, 1, 1, 64, 300), device="cuda")
    assert refusal("fla_gated_delta", wide) == "fla_gated_delta takes a head_dim of at most 256, found 300"


@pytest.mark.usefixtures("_device")
def test_the_shipped_suite_has_every_one_beside_our_own() -> None:
    cases = [each for each in load(shipped()["peers_gpu"]).cases() if each.implementation in CUDA_MECHANISM_PEERS]
    assert {each.implementation for each in cases} == set(CUDA_MECHANISM_PEERS)
    assert [refusal(each.implementation, each) for each in cases] == [None] * len(cases)


def test_predicted_bytes_hold_what_the_source_allocates() -> None:
    """T is a query tensor; with 64 places in a head, the states of all chunks are T in 16 bits, 2 T in float32."""
    shape = Shape(2, 4, 4, 1024, 64)
    t = 2 * 4 * 1024 * 64 * 2

    def predicted(peer: str, direction: str, layout: Any) -> float:
        where = setting(replace(shape, layout=layout), "bfloat16", "cuda", direction)
        return mechanism_peers.load(peer).predict_bytes(case(peer).parameters, where, 0) / t

    assert predicted("fla_retention", "forward", "bnhd") == 1 + 1
    assert predicted("fla_retention", "forward", "bhnd") == 3 + 1 + 1
    assert predicted("fla_retention", "backward", "bnhd") == 2 * 2 + 3
    assert predicted("fla_retention", "training", "bhnd") == 3 + 1 + 1 + 2 * 2 + 3
    assert predicted("fla_linear", "forward", "bnhd") == 2 + 4
    assert predicted("fla_linear", "training", "bnhd") == 5 + 6 + 2 * 2
    assert predicted("fla_gated_linear", "forward", "bnhd") == 5 + 1 + 2
    assert predicted("fla_gated_delta", "forward", "bhnd") == 6 + 1 + 1 + 1
