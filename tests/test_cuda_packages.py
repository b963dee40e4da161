"""Packages for CUDA as they are, where installed: what they can show without a GPU equals what their stand-ins show.

The project's continuous integration installs none of them, so there all of these tests are skipped.
"""

import inspect
from collections.abc import Callable
from operator import attrgetter
from typing import Any

import pytest
import standins
import torch
from definitions import label
from proofs import check_whole
from settings import pattern_of, setting
from test_cuda_peers import SLIDING, WINDOWS

from attnbench.runner.worker.call.inputs import inputs
from attnbench.variants import Shape, kernels
from attnbench.variants.peers import _sequences, xformers


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "parameters"), SLIDING, ids=label)
def test_windows_of_natten_are_ours(name: str, parameters: dict[str, Any]) -> None:
    """On a CPU it computes them forward, uncompiled."""
    pytest.importorskip("natten")
    pattern, shape = pattern_of(name, parameters), Shape(2, 4, 2, 130, 8)
    call = kernels.load("natten").build(pattern, setting(shape)).call
    assert check_whole(call, pattern.spans(130), inputs(shape, "float32", "cpu"), grads=False).problem is None


@pytest.mark.parametrize(("name", "parameters"), WINDOWS, ids=label)
def test_masks_of_xformers_are_ours(name: str, parameters: dict[str, Any]) -> None:
    pytest.importorskip("xformers.ops")
    for n in (1, 16, 61, 130):
        pattern, where = pattern_of(name, parameters), setting(Shape(1, 2, 2, n, 8))
        mask = xformers._mask(_sequences.known(pattern, where), where)
        seen = torch.ones(n, n) if mask is None else mask.materialize((n, n)).exp()
        assert seen.bool().equal(torch.from_numpy(pattern.spans(n).mask()))


WRAPPER = standins.BatchPrefillWithRaggedKVCacheWrapper
CALLED: list[tuple[str, str, Callable[..., Any]]] = [
    *((each, "flash_attn_func", standins.Flash().flash_attn_func) for each in ("flash_attn", "flash_attn_interface")),
    ("flash_attn", "flash_attn_varlen_func", standins.Flash().flash_attn_varlen_func),
    ("flash_attn_interface", "flash_attn_varlen_func", standins.Flash().flash_attn_varlen_func),
    ("fla.ops.attn", "parallel_attn", standins.parallel_attn),
    ("fla.ops.gated_delta_rule", "chunk_gated_delta_rule", standins.chunk_gated_delta_rule),
    ("fla.ops.gla", "chunk_gla", standins.chunk_gla),
    ("fla.ops.linear_attn", "chunk_linear_attn", standins.chunk_linear_attn),
    ("fla.ops.retention", "chunk_retention", standins.chunk_retention),
    ("flashinfer", WRAPPER.__name__, WRAPPER),
    ("flashinfer", f"{WRAPPER.__name__}.plan", WRAPPER.plan),
    ("flashinfer", f"{WRAPPER.__name__}.run", WRAPPER.run),
    ("natten", "na1d", standins.neighbourhoods),
    ("natten", "na2d", standins.neighbourhoods),
    ("xformers.ops", "memory_efficient_attention", standins.memory_efficient_attention),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("module", "name", "standin"), CALLED, ids=label)
def test_functions_take_the_arguments_of_their_standins(module: str, name: str, standin: Callable[..., Any]) -> None:
    package = pytest.importorskip(module, exc_type=ImportError)
    theirs = inspect.signature(attrgetter(name)(package)).parameters
    ours = inspect.signature(standin).parameters
    by_place = [each.name for each in ours.values() if each.kind is not inspect.Parameter.KEYWORD_ONLY]
    assert [*theirs][: len(by_place)] == by_place
    assert theirs.keys() >= ours.keys()
    skipped = [each for each in theirs.values() if each.name not in ours and "VAR" not in each.kind.name]
    assert all(each.default is not inspect.Parameter.empty for each in skipped)
