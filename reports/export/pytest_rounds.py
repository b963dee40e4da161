"""Statistics over rounds, by pytest-benchmark's definitions."""

from collections.abc import Sequence
from statistics import mean, median, stdev
from typing import Any

_FENCE = 1.5
"""Tukey's: so many times the range between the quartiles may lie on either side of them."""


def stats(values: Sequence[float]) -> dict[str, Any]:
    """Its statistics of at least one value, without the values.

    The standard deviation is a sample's, 0 for one value. Quartiles are the medians of the lower and the upper half;
    where the number of values is odd, each is the mean of what it is with the middle value and without.
    """
    data = sorted(values)
    without, including = max(len(data) // 2, 1), (len(data) + 1) // 2
    q1 = (median(data[:without]) + median(data[:including])) / 2
    q3 = (median(data[-without:]) + median(data[-including:])) / 2
    centre, deviation = mean(data), stdev(data) if len(data) > 1 else 0.0
    low, high = q1 - _FENCE * (q3 - q1), q3 + _FENCE * (q3 - q1)
    inside = [value for value in data if low <= value <= high]
    beyond = sum(abs(value - centre) > deviation for value in data)
    outside = len(data) - len(inside)
    return {
        "min": data[0],
        "max": data[-1],
        "mean": centre,
        "stddev": deviation,
        "rounds": len(data),
        "median": median(data),
        "iqr": q3 - q1,
        "q1": q1,
        "q3": q3,
        "iqr_outliers": outside,
        "stddev_outliers": beyond,
        "outliers": f"{beyond};{outside}",
        "ld15iqr": inside[0],
        "hd15iqr": inside[-1],
        "ops": len(data) / sum(data),
        "total": sum(data),
    }
