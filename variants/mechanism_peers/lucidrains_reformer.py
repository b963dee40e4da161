"""lucidrains' reformer-pytorch: attention within chunks of queries that are sorted by hashing.

This calls `LSHAttention` of the package `reformer_pytorch`, in which each round's first chunk sees the last chunk of
the round before. That is the variant for one round. The module draws other rotations in every call, so its hashes are
replaced by the variant's buckets; it sorts, attends and puts back in order.

Source: Kitaev et al. 2020, arXiv 2001.04451; https://github.com/lucidrains/reformer-pytorch, version 1.4.4.
"""

from typing import TYPE_CHECKING, Any

from attnbench.variants import mechanism_peers
from attnbench.variants._setting import Setting
from attnbench.variants.kernels import Program

if TYPE_CHECKING:
    from torch import Tensor

    from attnbench.variants import Weights
    from attnbench.variants.reformer import Reformer

VARIANT = "reformer"
REQUIREMENT = "reformer-pytorch 1.4.4"


def supports(parameters: "Reformer", setting: Setting) -> str | None:
    """Support one round, and lengths of an even number of whole chunks; not float16."""
    refused = mechanism_peers.refusal("lucidrains_reformer", REQUIREMENT, setting)
    n, chunk = setting.shape.seq_len, parameters.chunk
    if refused is None and setting.dtype == "float16":
        refused = "lucidrains_reformer is less exact in float16 than its proof allows; use bfloat16 or float32"
    if refused is None and parameters.rounds > 1:
        refused = "lucidrains_reformer joins the chunks of all rounds to one ring, which is the variant with rounds 1, "
        refused += f"found rounds {parameters.rounds}"
    if refused is None and n % (2 * chunk):
        refused = f"lucidrains_reformer takes seq_len as a multiple of two chunks, found {n} and chunk {chunk}"
    return refused


def predict_bytes(parameters: "Reformer", setting: Setting, threads: int) -> int:
    """Return the peak bytes of one call, the largest of its steps, as measured.

    In units of the queries: scores S of two chunks, their mask M of one byte each, indices I of int64, one for each
    token, and in a batch of the layout `bnhd` 2 copies C. Forward: sorted queries, keys and values with those of the
    chunk before, or the softmax. Backward: gathers, or the softmax. Training: the forward with S and M, or the backward
    with what it kept. With many rotations, hashing takes most.
    """
    from attnbench.variants.kernels._memory import query_bytes
    from attnbench.variants.kernels._support import itemsize

    del threads
    shape, size = setting.shape, itemsize(setting.dtype)
    scores, index = 2 * parameters.chunk / shape.head_dim, 8 / (size * shape.head_dim)
    copies = 2 if shape.layout == "bnhd" and shape.batch > 1 and shape.heads > 1 else 0
    kept = scores + scores / size
    hashes = 4 * parameters.rotations / shape.head_dim
    forward = copies + max(10 + scores + 10.5 * index, 6 + 3 * scores + 9.5 * index, hashes)
    backward = max(7, 4 * scores + 2 + index / 2)
    sorted_ = 10 + scores + kept + 12 * index
    training = copies + max(sorted_, 6 + 4 * scores + kept + 3 * index, hashes)
    if copies:
        training = max(training, 13 + scores + kept + 5.5 * index)
    found = {"forward": forward, "backward": backward, "training": training}[setting.direction]
    return round(found * query_bytes(setting.shape, setting.dtype))


def build(parameters: "Reformer", setting: Setting, weights: "Weights") -> Program:
    """Prepare the module, with the variant's hashes."""
    from reformer_pytorch import LSHAttention

    from attnbench.variants import reformer

    shape = setting.shape
    choose: Any = reformer.build(parameters, setting, weights).choice
    attention = LSHAttention(bucket_size=parameters.chunk, n_hashes=1).eval()

    def hashes(buckets: int, vectors: "Tensor", **_: Any) -> "Tensor":
        """Return the bucket of each of the queries `(B H) N D`."""
        del buckets
        queries = vectors.view(shape.batch, shape.heads, *vectors.shape[1:])
        found: Tensor = choose(queries, queries, queries)
        return found.view(vectors.shape[:2])

    attention.hash_vectors = hashes

    def attend(q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
        """Map queries and values `B H N D` to outputs `B H N D`; keys are ignored."""
        del k
        out: Tensor = attention(q.flatten(0, 1), v.flatten(0, 1))[0]
        return out.view(q.shape)

    return Program(attend, choice=choose)
