"""Mechanisms against packages of other projects, with equal inputs and weights, where these are installed.

Packages are no dependencies. `pip install --no-deps` and PYTHONPATH suffice for those named here.
"""

from typing import Any

import pytest
import torch
from settings import case_of
from torch import Tensor

from attnbench.runner.worker.call import calls
from attnbench.runner.worker.call.calls import Inputs
from attnbench.suites import Case
from attnbench.variants import Shape


def made(name: str, parameters: dict[str, Any], shape: Shape) -> tuple[Case, Inputs, Tensor]:
    """A case in float64, its inputs and its output."""
    case = case_of(name, parameters, "own", shape, "float64")
    given = calls.inputs(shape, "float64", "cpu")
    with torch.no_grad():
        return case, given, calls.build(case).call(*given[:3])


def test_routing_is_that_of_routing_transformer() -> None:
    """The package normalises what it clusters, but not what attends, so it gets normalised queries and keys.

    It shares no key heads, and divides by the number of clusters plus 1e-5.
    """
    package = pytest.importorskip("routing_transformer.routing_transformer")
    case, given, found = made("routing", {"window": 16}, Shape(2, 3, 3, 90, 8))
    theirs = package.KmeansAttention(6, 16, 3, 8, shared_qk=False).double().eval()
    theirs.kmeans.means.copy_(calls.weights(case)[0])
    theirs.kmeans.initted.fill_(True)
    q, k = (torch.nn.functional.layer_norm(each, (8,)) for each in given[:2])
    expected, _ = theirs(q, k, given.v)
    assert (expected.abs().sum(dim=-1) == 0).any()
    assert torch.allclose(found, expected, rtol=2e-5, atol=0)


def heads_last(*tensors: Tensor) -> list[Tensor]:
    """Tensors `B N H ...` of `B H N ...`."""
    return [each.transpose(1, 2) for each in tensors]


def test_branches_of_nsa_are_those_of_fla() -> None:
    """The package has means only, of blocks that are also the selected ones. Its own pooling needs a GPU.

    Its window needs flash-attn, and here it is softmax attention over the last keys.
    """
    package = pytest.importorskip("fla.ops.nsa.naive")
    parameters = {"compressed": 8, "stride": 8, "block": 8, "blocks": 4, "window": 16}
    case, given, found = made("nsa", parameters, Shape(2, 4, 2, 96, 8))
    q, k, v = heads_last(*given[:3])
    short_k, short_v = (torch.unflatten(each, 1, (-1, 8)).mean(dim=2) for each in (k, v))
    scale = 8**-0.5
    short, _ = package.naive_nsa_compression(q, short_k, short_v, 8, scale)
    chosen = package.naive_nsa_topk(q, short_k, 4, 8, scale)
    selected = package.naive_nsa_selection(q, k, v, chosen, 8, scale)
    apart = torch.arange(96)[:, None] - torch.arange(96)
    scores = given.q @ given.k.repeat_interleave(2, dim=1).mT * scale
    hidden = (apart < 0) | (apart >= 16)
    recent = scores.masked_fill(hidden, -torch.inf).softmax(dim=-1) @ given.v.repeat_interleave(2, dim=1)
    gates = (given.q @ calls.weights(case)[0].detach()).sigmoid()
    expected = torch.stack([*heads_last(short, selected), recent], dim=-1) * gates.unsqueeze(-2)
    # The package computes in float32.
    assert torch.allclose(found, expected.sum(dim=-1), rtol=1e-4, atol=1e-5)


class Mean(torch.nn.Module):
    """The mean of each block `b h w n d`."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=-2)


class Unturned(torch.nn.Module):
    """Rotary positions that turn nothing."""

    def rotate_queries_with_cached_keys(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        return q, k


def test_nsa_with_all_blocks_is_that_of_native_sparse_attention_pytorch() -> None:
    """The package is a layer: its projections are the identity, and its rotary positions are taken out.

    It adds a compressed key of its own, whose score is -1e4 / sqrt(D) here. Its compressed blocks are seen from the
    token after their last one on, where ours are seen from the last one on. It selects by mean scores and forces no
    block, so all blocks are selected. Its window has one key more.
    """
    package = pytest.importorskip("native_sparse_attention_pytorch")
    shape = Shape(2, 4, 2, 48, 8)
    parameters = {"compressed": 8, "stride": 8, "block": 8, "blocks": 6, "window": 13}
    case = case_of("nsa", parameters, "own", shape, "float64")
    given = calls.inputs(shape, "float64", "cpu")
    given.q[..., -1], given.k[..., -1] = 1.0, 0.0
    gates = torch.nn.Linear(64, 12, bias=False)
    torch.nn.init.zeros_(gates.weight)
    theirs = package.SparseAttention(
        64, 8, 4, 12, 8, 8, 8, 6, kv_heads=2, causal=True, norm=False, compress_mlp=Mean(), strategy_combine_mlp=gates
    ).double()
    with torch.no_grad():
        theirs.to_qkv.weight.copy_(torch.eye(64))
        theirs.compress_mem_kv[0, ..., -1] = -1e4
        (w,) = calls.weights(case)
        for head in range(4):
            gates.weight[3 * head : 3 * head + 3, 8 * head : 8 * head + 8] = w[head].T
        theirs.rotary_emb, theirs.combine_heads = Unturned(), torch.nn.Identity()
        inp = torch.cat([each.transpose(1, 2).flatten(2) for each in given[:3]], dim=-1)
        found, expected = calls.build(case).call(*given[:3]), theirs(inp).view(2, 48, 4, 8).transpose(1, 2)
    inside = torch.arange(48) % 8 != 7
    assert torch.allclose(found[:, :, inside], expected[:, :, inside])
