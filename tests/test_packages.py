"""Mechanisms against the packages of others, where these are installed: equal inputs and weights give equal outputs."""

import warnings
from typing import Any

import pytest
import torch
from settings import case_of
from torch import Tensor
from torch.nn.functional import elu, logsigmoid, normalize, softplus

from attnbench.runner.worker.call import programs
from attnbench.runner.worker.call.inputs import Inputs, inputs
from attnbench.runner.worker.call.weights import weights
from attnbench.suites import Case
from attnbench.variants import Shape, performer


def package(name: str) -> Any:
    """A module of a package, or the test is skipped; what it warns of while it is imported is its own matter."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name)


def case(name: str, parameters: dict[str, Any], n: int = 130) -> Case:
    return case_of(name, parameters, "own", Shape(2, 3, 3, n, 8))


def given(made: Case) -> tuple[Tensor, ...]:
    """Queries, keys and values."""
    return inputs(made.setting.shape, "float32", "cpu")[:3]


def output(made: Case, *inputs: Tensor) -> Tensor:
    with torch.no_grad():
        return programs.build(made).call(*inputs)


class Part(torch.nn.Module):
    """One of the parts of tokens that hold queries, keys and values: a projection that is the identity."""

    def __init__(self, place: int) -> None:
        super().__init__()
        self.place = place

    def forward(self, x: Tensor) -> Tensor:
        return x.chunk(3, dim=-1)[self.place]


def together(*tensors: Tensor) -> Tensor:
    """Tokens `B N 3HD` that hold queries, keys and values."""
    return torch.cat([each.transpose(1, 2).flatten(2) for each in tensors], dim=-1)


def heads(tokens: Tensor) -> Tensor:
    """`B H N D` of tokens `B N HD` with heads of 8."""
    return torch.unflatten(tokens, 2, (-1, 8)).transpose(1, 2)


def tokens_first(*tensors: Tensor) -> list[Tensor]:
    """`B N H ...` of `B H N ...`, as flash-linear-attention has them."""
    return [each.transpose(1, 2) for each in tensors]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("kernel", ["softmax", "relu"])
def test_performer_equals_performer_pytorch(kernel: str, causal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With equal random features. Its causal softmax takes the largest exponent of all keys, which cancels without eps.

    Its causal normalisation adds 1e-6, which is set to 0.
    """
    theirs = package("performer_pytorch.performer_pytorch")
    made = case("performer", {"features": 20, "kernel": kernel, "causal": causal})
    q, k, v = given(made)
    (w,) = weights(made)
    if kernel == "relu":
        features = [theirs.generalized_kernel(each, projection_matrix=w) for each in (q, k)]
    else:
        eps = 0.0 if causal else 1e-4
        monkeypatch.setitem(performer._EPS, "softmax", eps)
        features = [
            theirs.softmax_kernel(each, projection_matrix=w, is_query=is_query, eps=eps)
            for each, is_query in ((q, True), (k, False))
        ]
    if causal:
        right = theirs.causal_linear_attention_noncuda(*features, v, eps=0.0)
    else:
        right = theirs.linear_attention(*features, v)
    assert torch.allclose(output(made, q, k, v), right, atol=1e-5)


def test_causal_linear_attention_equals_linear_attention_transformer() -> None:
    """Its features are exp(k) and softmax(q): below zero, elu + 1 is exp, and the sum of a query's features cancels.

    Without `causal`, the package computes another mechanism: each feature has its own sum over the keys.
    """
    theirs = package("linear_attention_transformer.linear_attention_transformer")
    made = case("linear", {"causal": True})
    q, k, v = given(made)
    q, k = -q.abs(), -k.abs()
    right = theirs.causal_linear_attn(q, k, v, bucket_size=1)
    assert torch.allclose(output(made, q, k, v), right, atol=1e-5)


def test_causal_linear_attention_equals_flash_linear_attention() -> None:
    """It takes features in place of queries and keys."""
    theirs = package("fla.ops.linear_attn.naive")
    made = case("linear", {"causal": True})
    q, k, v = given(made)
    right, _ = theirs.naive_recurrent_linear_attn(*tokens_first(elu(q) + 1, elu(k) + 1, v), normalize=True)
    assert torch.allclose(output(made, q, k, v), right.transpose(1, 2), atol=1e-5)


def test_retention_equals_flash_linear_attention() -> None:
    theirs = package("fla.ops.retention.naive")
    made = case("retention", {})
    right = theirs.naive_retention(*given(made))
    assert torch.allclose(output(made, *given(made)), right, atol=1e-4)


def test_gated_linear_attention_equals_flash_linear_attention() -> None:
    """It takes the logarithms of gates."""
    theirs = package("fla.ops.gla.naive")
    made = case("gated_linear", {})
    q, k, v = given(made)
    down, up, bias = (each.detach() for each in weights(made))
    gates = logsigmoid(k @ down @ up + bias[:, None]) / 16
    right, _ = theirs.naive_recurrent_gla(*tokens_first(q, k, v, gates))
    assert torch.allclose(output(made, q, k, v), right.transpose(1, 2), atol=1e-4)


def test_gated_delta_equals_flash_linear_attention() -> None:
    """It takes normalised queries and keys, beta, and the logarithm of alpha; its scale of outputs is set to 1."""
    theirs = package("fla.ops.gated_delta_rule.naive")
    made = case("gated_delta", {})
    q, k, v = given(made)
    w, a, b = (each.detach() for each in weights(made))
    fading, writing = (k @ w).unbind(dim=-1)
    log_alpha = -a.exp()[:, None] * softplus(fading + b[:, None])
    told = *tokens_first(normalize(q, dim=-1), normalize(k, dim=-1), v, writing.sigmoid(), log_alpha), 1.0
    right, _ = theirs.naive_recurrent_gated_delta_rule(*told)
    assert torch.allclose(output(made, q, k, v), right.transpose(1, 2), atol=1e-4)


def test_sinkhorn_is_that_of_sinkhorn_transformer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its noise and its logarithm of R are taken out; R is positive here, so that its ReLU does nothing.

    It puts mixed keys in the place of mixed values, so keys are also the values.
    """
    theirs = package("sinkhorn_transformer.sinkhorn_transformer")
    monkeypatch.setattr(theirs, "sample_gumbel", lambda shape, *_: torch.zeros(shape))
    monkeypatch.setattr(theirs, "log", lambda logits: logits)
    given = {"bucket_size": 16, "sinkhorn_iter": 3, "temperature": 0.5}
    attend = theirs.SinkhornAttention(**given, dim=16, dim_heads=8, heads=2, max_seq_len=64, non_permutative=False)
    told = {"block": 16, "iterations": 3, "temperature": 0.5}
    made = case_of("sinkhorn", told, "own", Shape(2, 2, 2, 64, 8), "float32", "cpu", "forward")
    q, k, *_ = (each.abs() for each in inputs(made.setting.shape, "float32", "cpu"))
    assert torch.allclose(programs.build(made).call(q, k, k), attend(q, k, k), atol=1e-6)


def computed(name: str, parameters: dict[str, Any], shape: Shape) -> tuple[Case, Inputs, Tensor]:
    """A case in float64, its inputs and its output."""
    case = case_of(name, parameters, "own", shape, "float64")
    given = inputs(shape, "float64", "cpu")
    with torch.no_grad():
        return case, given, programs.build(case).call(*given[:3])


def test_routing_is_that_of_routing_transformer() -> None:
    """The package normalises what it clusters, but not what attends, so it gets normalised queries and keys.

    It shares no key heads, and divides by the number of clusters plus 1e-5.
    """
    theirs = package("routing_transformer.routing_transformer")
    made, given, found = computed("routing", {"window": 16}, Shape(2, 3, 3, 90, 8))
    layer = theirs.KmeansAttention(6, 16, 3, 8, shared_qk=False).double().eval()
    layer.kmeans.means.copy_(weights(made)[0])
    layer.kmeans.initted.fill_(True)
    q, k = (torch.nn.functional.layer_norm(each, (8,)) for each in given[:2])
    expected, _ = layer(q, k, given.v)
    assert (expected.abs().sum(dim=-1) == 0).any()
    assert torch.allclose(found, expected, rtol=2e-5, atol=0)


def test_branches_of_nsa_are_those_of_fla() -> None:
    """The package has means only, of blocks that are also the selected ones. Its own pooling needs a GPU.

    Its window needs flash-attn, and here it is softmax attention over the last keys.
    """
    theirs = package("fla.ops.nsa.naive")
    parameters = {"compressed": 8, "stride": 8, "block": 8, "blocks": 4, "window": 16}
    made, given, found = computed("nsa", parameters, Shape(2, 4, 2, 96, 8))
    q, k, v = tokens_first(*given[:3])
    short_k, short_v = (torch.unflatten(each, 1, (-1, 8)).mean(dim=2) for each in (k, v))
    scale = 8**-0.5
    short, _ = theirs.naive_nsa_compression(q, short_k, short_v, 8, scale)
    chosen = theirs.naive_nsa_topk(q, short_k, 4, 8, scale)
    selected = theirs.naive_nsa_selection(q, k, v, chosen, 8, scale)
    apart = torch.arange(96)[:, None] - torch.arange(96)
    scores = given.q @ given.k.repeat_interleave(2, dim=1).mT * scale
    hidden = (apart < 0) | (apart >= 16)
    recent = scores.masked_fill(hidden, -torch.inf).softmax(dim=-1) @ given.v.repeat_interleave(2, dim=1)
    gates = (given.q @ weights(made)[0].detach()).sigmoid()
    expected = torch.stack([*tokens_first(short, selected), recent], dim=-1) * gates.unsqueeze(-2)
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
    theirs = package("native_sparse_attention_pytorch")
    shape = Shape(2, 4, 2, 48, 8)
    parameters = {"compressed": 8, "stride": 8, "block": 8, "blocks": 6, "window": 13}
    made = case_of("nsa", parameters, "own", shape, "float64")
    given = inputs(shape, "float64", "cpu")
    given.q[..., -1], given.k[..., -1] = 1.0, 0.0
    gates = torch.nn.Linear(64, 12, bias=False)
    torch.nn.init.zeros_(gates.weight)
    layer = theirs.SparseAttention(
        64, 8, 4, 12, 8, 8, 8, 6, kv_heads=2, causal=True, norm=False, compress_mlp=Mean(), strategy_combine_mlp=gates
    ).double()
    with torch.no_grad():
        layer.to_qkv.weight.copy_(torch.eye(64))
        layer.compress_mem_kv[0, ..., -1] = -1e4
        (w,) = weights(made)
        for head in range(4):
            gates.weight[3 * head : 3 * head + 3, 8 * head : 8 * head + 8] = w[head].T
        layer.rotary_emb, layer.combine_heads = Unturned(), torch.nn.Identity()
        inp = torch.cat([each.transpose(1, 2).flatten(2) for each in given[:3]], dim=-1)
        found, expected = programs.build(made).call(*given[:3]), layer(inp).view(2, 48, 4, 8).transpose(1, 2)
    inside = torch.arange(48) % 8 != 7
    assert torch.allclose(found[:, :, inside], expected[:, :, inside])


def test_linformer_equals_linformer() -> None:
    """Its layer gets tokens that hold queries, keys and values. Its E and F are ours, transposed."""
    theirs = package("linformer")
    made = case("linformer", {"projected": 20})
    layer = theirs.LinformerSelfAttention(72, 130, k=20, heads=3, dim_head=8)
    layer.to_q, layer.to_k, layer.to_v, layer.to_out = Part(0), Part(1), Part(2), torch.nn.Identity()
    with torch.no_grad():
        for mine, weight in zip((layer.proj_k, layer.proj_v), weights(made), strict=True):
            mine.copy_(weight.T)
        right = heads(layer(together(*given(made))))
    assert torch.allclose(output(made, *given(made)), right, atol=1e-5)


def test_nystromformer_equals_nystrom_attention() -> None:
    """One batch entry and one head, because its pseudoinverse begins with the largest norms of all of them."""
    theirs = package("nystrom_attention")
    made = case_of("nystromformer", {"landmarks": 13, "steps": 4}, "own", Shape(1, 1, 1, 130, 8))
    layer = theirs.NystromAttention(24, dim_head=8, heads=1, num_landmarks=13, pinv_iterations=4, residual=False)
    layer.to_qkv, layer.to_out = torch.nn.Identity(), torch.nn.Identity()
    right = heads(layer(together(*given(made))))
    assert torch.allclose(output(made, *given(made)), right, atol=1e-5)


def test_nystromformer_equals_hugging_faces() -> None:
    """Without its convolution. Its first pseudoinverse takes the norm of each head with another option than default."""
    theirs = package("transformers.models.nystromformer.modeling_nystromformer")
    made = case("nystromformer", {"landmarks": 13})
    told = {"num_landmarks": 13, "segment_means_seq_len": 130}
    config = theirs.NystromformerConfig(hidden_size=24, num_attention_heads=3, **told)
    layer = theirs.NystromformerSelfAttention(config).eval()
    layer.query, layer.key, layer.value, layer.init_option = Part(0), Part(1), Part(2), "of each head"
    torch.nn.init.zeros_(layer.conv.weight)
    right = heads(layer(together(*given(made)))[0])
    assert torch.allclose(output(made, *given(made)), right, atol=1e-5)


@pytest.mark.parametrize("tau", [1, 9])
def test_yoso_equals_hugging_faces(tau: int) -> None:
    """Of its gradients, those of values are equal; the others are a lower bound of the derivative, see yoso."""
    theirs = package("transformers.models.yoso.modeling_yoso")
    made = case_of("yoso", {"tau": tau}, "own", Shape(2, 3, 3, 130, 8), direction="training")
    config = theirs.YosoConfig(hidden_size=24, num_attention_heads=3, use_expectation=True, hash_code_len=tau)
    layer = theirs.YosoSelfAttention(config).eval()
    layer.query, layer.key, layer.value = Part(0), Part(1), Part(2)
    q, k, v = given(made)
    v.requires_grad_()
    found = programs.build(made).call(q, k, v)
    right = heads(layer(together(q, k, v), torch.zeros(2, 130))[0])
    assert torch.allclose(found, right, atol=1e-5)
    dout = torch.ones_like(found)
    (found_dv,), (right_dv,) = (torch.autograd.grad(out, v, dout) for out in (found, right))
    assert torch.allclose(found_dv, right_dv, atol=1e-4)


def reformer(monkeypatch: pytest.MonkeyPatch) -> tuple[tuple[Tensor, ...], Tensor, Tensor]:
    """Inputs, outputs of two rounds, and the queries `B H N` whose keys are those of the packages, which hash as we do.

    There, chunks of all rounds follow each other: the first one of a round sees the last one of the round before. Ours
    sees the last one of its own round. All chunks are full.
    """
    made = case("reformer", {"rounds": 2, "rotations": 4, "chunk": 16}, 128)
    inputs, program, (rotations,) = given(made), programs.build(made), weights(made)
    assert program.choice
    chosen = program.choice(*inputs)
    assert isinstance(chosen, Tensor)
    order = chosen[..., 0].transpose(2, 3).argsort(dim=-1, stable=True)
    alike = (order.argsort(dim=-1) >= 16).all(dim=2)
    assert alike.float().mean() > 0.5
    monkeypatch.setattr(torch, "randn", lambda shape, **_: rotations.transpose(0, 1).expand(shape))
    return inputs, program.call(*inputs), alike


def test_reformer_equals_reformer_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = package("reformer_pytorch.reformer_pytorch")
    layer = theirs.LSHAttention(bucket_size=16, n_hashes=2).eval()
    (q, _, v), found, alike = reformer(monkeypatch)
    right = layer(q.flatten(0, 1), v.flatten(0, 1))[0].view_as(found)
    assert torch.allclose(found[alike], right[alike], atol=1e-5)


def test_reformer_equals_hugging_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not divide scores by sqrt(D), so its queries are divided; its keys and buckets do not change by that."""
    theirs = package("transformers.models.reformer.modeling_reformer")
    told = {"num_hashes": 2, "num_buckets": 8, "lsh_attn_chunk_length": 16}
    config = theirs.ReformerConfig(hidden_size=24, num_attention_heads=3, attention_head_size=8, **told)
    layer = theirs.LSHSelfAttention(config, 0).eval()
    layer.query_key, layer.value = Part(0), Part(2)
    (q, k, v), found, alike = reformer(monkeypatch)
    right = heads(layer(together(q / 8**0.5, k, v)).hidden_states)
    assert torch.allclose(found[alike], right[alike], atol=1e-5)


@pytest.mark.parametrize("implementation", ["sdpa_masked", "blockwise"])
def test_a_causal_window_equals_flash_linear_attention(implementation: str) -> None:
    theirs = package("fla.ops.attn.naive")
    made = case_of("truncated", {"left": 16, "right": 0}, implementation, Shape(2, 4, 2, 130, 8))
    right, _ = theirs.naive_parallel_attn(*tokens_first(*given(made)), window_size=17)
    assert torch.allclose(output(made, *given(made)), right.transpose(1, 2), atol=1e-5)
