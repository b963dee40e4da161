"""Packages for CUDA as they are, where installed: what they can show without a GPU equals what their stand-ins show."""

from typing import Any

import pytest
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
