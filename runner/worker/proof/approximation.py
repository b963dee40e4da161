"""Error of a mechanism against full attention, on a user's inputs or on inputs with something to find.

    error_vs_full = |o - f| / |f|,   error_of_mean = |m - f| / |f|

Norms are Frobenius norms over evenly spread rows of all heads. In float64, o is the output of the mechanism's oracle, f
that of full attention, and m the mean of all values, which is a result without any attention. If a mechanism is causal,
f and m are too.

The suite may name a file of inputs. Without one they are drawn. Then neighbours are alike, and one key in 64 is a peak
that every query looks for. With standard normal e, n, u:

    x_t = (e_t + ... + e_(t + 63)) / 8                  a path for q and k, and another one for v
    q_t = a x_t + b u + 0.7 n_t                         a = sqrt(8 / sqrt(D)),   b = sqrt(4 / sqrt(D))
    k_t = a x_t + b u [t is a peak] + 0.7 n'_t

The expected score of a query is 8 with its own key, 8 - d / 8 with a key at a distance of d < 64, and 4 more with a
peak.
"""

import math
from dataclasses import asdict, replace

import torch
from torch import Tensor

from attnbench.runner.worker.call import mechanisms
from attnbench.runner.worker.call.inputs import Inputs
from attnbench.runner.worker.call.weights import weights
from attnbench.runner.worker.proof import expected, stream
from attnbench.runner.worker.proof.choice import best
from attnbench.runner.worker.proof.stream import Step
from attnbench.runner.worker.proof.textbook import spread
from attnbench.suites import Case
from attnbench.suites.origin import DEFAULT, Origin
from attnbench.variants import ATTENTION, IntArray, Named, Shape, Spans

_ROWS, _LEAST_ROWS = 512, 16
"""Rows to compare: over all heads together, and at least per head."""
_MOST = 2**25
"""Maximum number of elements of a tensor of queries or of scores of options: 256 MiB in float64."""
_SMOOTH, _EVERY = 64, 64
_LOCAL, _PEAK, _NOISE = 8.0, 4.0, 0.7


def of_case(case: Case, spans: Spans | None, step: Step, origin: Origin = DEFAULT) -> tuple[float, float]:
    """Return `error_vs_full` and `error_of_mean` of the case's mechanism at its shape.

    Inputs are those of the file of `origin`, or drawn if it has none.
    """
    content, _ = origin.contents
    if case.setting.level != ATTENTION:
        parameters, case = case.parameters, case.changed(level=ATTENTION)
        if case.parameters != parameters:  # a masked layer makes its mechanism causal
            case = replace(case, mechanism=Named(case.mechanism.name, asdict(parameters)))
        spans = case.spans  # those of cross-attention are of another sequence
    options, own = mechanisms.options(case), weights(case, content)
    wide = tuple(each.detach().double() for each in own)
    # Weights may have dimensions for batch entries and heads, and scores may be modified by head.
    shape = case.setting.shape
    if not own and not mechanisms.modifies_scores(case):
        shape = few(shape, shape.seq_len if options else shape.head_dim)
    n = shape.seq_len
    made = read(origin.file, shape) if origin.file else inputs(shape, content)
    given = Inputs(*(each.to(case.setting.device) for each in made))
    rows, full = spread(n, max(_LEAST_ROWS, _ROWS // (shape.batch * shape.heads))), Spans.of(n, (0, n))
    causal = getattr(case.parameters, "causal", False) if spans is None else _is_causal(spans)
    right = _attention(full.causal() if causal else full, given, rows, step)
    chosen = best(options, given, wide, step, mechanisms.choosers(case)) if options else None
    reference = mechanisms.reference(case, chosen)
    if reference:
        found = expected.asked(reference, given, wide, rows, False, step)[0]
    else:
        assert spans  # a mechanism that is not a pattern has a reference
        found = _attention(spans, given, rows, step)
    mean = _means(given.v, rows, causal).repeat_interleave(shape.heads // shape.kv_heads, dim=1)
    return _apart(found, right), _apart(mean, right)


def few(shape: Shape, width: int) -> Shape:
    """Return a shape with few enough batch entries and heads that `width` numbers for each query are at most `_MOST`.

    At least one key head is left.
    """
    group = shape.heads // shape.kv_heads
    units = max(1, _MOST // (group * shape.seq_len * width))
    kv_heads = min(shape.kv_heads, units)
    batch = min(shape.batch, max(1, units // shape.kv_heads))
    return replace(shape, batch=batch, heads=kv_heads * group, kv_heads=kv_heads)


def inputs(shape: Shape, content: int = 0) -> Inputs:
    """Return queries `B H N D`, keys and values `B K N D` as above, in float64 on the CPU. `dout` is zero."""
    generator = torch.Generator().manual_seed(content)
    local, peak = (math.sqrt(each / math.sqrt(shape.head_dim)) for each in (_LOCAL, _PEAK))
    group = shape.heads // shape.kv_heads

    def normal(heads: int, n: int) -> Tensor:
        return torch.randn(shape.batch, heads, n, shape.head_dim, generator=generator, dtype=torch.float64)

    def path() -> Tensor:
        # Differences of running sums give the sums of a moving window of 64.
        sums = normal(shape.kv_heads, shape.seq_len + _SMOOTH).cumsum(dim=2)
        return (sums[:, :, _SMOOTH:] - sums[:, :, :-_SMOOTH]) / math.sqrt(_SMOOTH)

    x, v, sought = path(), path(), peak * normal(shape.kv_heads, 1)
    peaks = torch.rand(shape.seq_len, 1, generator=generator, dtype=torch.float64) < 1 / _EVERY
    q = (local * x + sought).repeat_interleave(group, dim=1) + _NOISE * normal(shape.heads, shape.seq_len)
    k = local * x + sought * peaks + _NOISE * normal(shape.kv_heads, shape.seq_len)
    return Inputs(q, k, v, torch.zeros_like(q))


def read(file: str, shape: Shape) -> Inputs:
    """Return the first queries, keys and values of a file, as many as `shape` has, like `inputs`."""
    from safetensors import safe_open

    with safe_open(file, framework="pt") as tensors:
        q, k, v = (
            tensors.get_slice(name)[: shape.batch, :heads, : shape.seq_len].double()
            for name, heads in (("q", shape.heads), ("k", shape.kv_heads), ("v", shape.kv_heads))
        )
    return Inputs(q, k, v, torch.zeros_like(q))


def _attention(spans: Spans, given: Inputs, rows: IntArray, step: Step) -> Tensor:
    """Return outputs `B H R D` of the queries at some rows."""
    out = stream.at_rows(spans, rows, stream.units(given, torch.float64), grads=False, step=step)[0]
    return out.reshape(*given.q.shape[:2], len(rows), -1)


def _means(v: Tensor, rows: IntArray, causal: bool) -> Tensor:
    """Return the mean `B K R D` of all values, or of the values up to each row if `causal`."""
    many = torch.arange(1, v.shape[2] + 1, device=v.device, dtype=v.dtype)[:, None]
    means = v.cumsum(dim=2) / many
    return (
        means[:, :, torch.from_numpy(rows).to(v.device)] if causal else means[:, :, -1:].expand(-1, -1, len(rows), -1)
    )


def _is_causal(spans: Spans) -> bool:
    """Check whether no query sees a later key."""
    return spans.causal().pairs() == spans.pairs()


def _apart(found: Tensor, right: Tensor) -> float:
    """Return the norm of the difference, divided by the norm of `right`."""
    return float((found - right).norm() / right.norm())
