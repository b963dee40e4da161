"""Memory columns derived from the peak: with inputs and preparation, and without the results."""

import numpy as np
import pandas as pd

from attnbench.reports.stats.statistics import IntArray

_ITEM_BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}
COLUMNS = ("gross_bytes", "net_bytes")


def add(frame: pd.DataFrame) -> None:
    """Fill in `COLUMNS`, from the peak, the prepared bytes and the shapes.

    Gross is the peak and what stands beside it: q, k, v, what was prepared and, with gradients, dout. Net is the peak
    without what the call hands back: the output, or dq, dk and dv.
    """
    backward = frame["direction"].to_numpy() != "forward"
    queries, keys = _tensor_bytes(frame, "heads"), _tensor_bytes(frame, "kv_heads")
    given = queries + 2 * keys + np.where(backward, queries, 0)
    returned = queries + np.where(backward, 2 * keys, 0)
    frame["gross_bytes"] = frame["peak_bytes"] + frame["prepared_bytes"] + given
    frame["net_bytes"] = frame["peak_bytes"] - returned


def _tensor_bytes(frame: pd.DataFrame, heads: str) -> IntArray:
    """Bytes of a tensor `B heads N D`."""
    size = frame["dtype"].map(_ITEM_BYTES)
    return (frame["batch"] * frame[heads] * frame["seq_len"] * frame["head_dim"] * size).to_numpy(np.int64)
