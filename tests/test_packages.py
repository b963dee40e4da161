"""Mechanisms against packages that compute the same, where these are installed: same inputs, equal outputs."""

import pytest
import torch
from settings import case_of

from attnbench.runner.worker.call import calls
from attnbench.variants import Shape


def test_sinkhorn_is_that_of_sinkhorn_transformer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its noise and its logarithm of R are taken out; R is positive here, so that its ReLU does nothing.

    It puts mixed keys in the place of mixed values, so keys are also the values.
    """
    package = pytest.importorskip("sinkhorn_transformer.sinkhorn_transformer")
    monkeypatch.setattr(package, "sample_gumbel", lambda shape, *_: torch.zeros(shape))
    monkeypatch.setattr(package, "log", lambda logits: logits)
    given = {"bucket_size": 16, "sinkhorn_iter": 3, "temperature": 0.5}
    attend = package.SinkhornAttention(**given, dim=16, dim_heads=8, heads=2, max_seq_len=64, non_permutative=False)
    told = {"block": 16, "iterations": 3, "temperature": 0.5}
    made = case_of("sinkhorn", told, "own", Shape(2, 2, 2, 64, 8), "float32", "cpu", "forward")
    q, k, *_ = (each.abs() for each in calls.inputs(made.setting.shape, "float32", "cpu"))
    assert torch.allclose(calls.build(made).call(q, k, k), attend(q, k, k), atol=1e-6)
