"""Statistics against closed forms, SciPy and simulated truth."""

import numpy as np
import pytest
from scipy import stats

from attnbench.reports.stats import crossover, statistics
from attnbench.reports.stats.crossover import ALWAYS, CLOSE, CROSSES, FASTER, NEVER, SLOWER, UNCLEAR


@pytest.mark.parametrize("quantile", [0.0, 0.25, 0.5, 1.0])
def test_log_quantiles_are_quantiles_of_logarithms(quantile: float) -> None:
    values = [[3.0], [4.0, 1.0], [5.0, 2.0, 9.0], [8.0, 1.0, 4.0, 2.0]]
    expected = [np.quantile(np.log(each), quantile) for each in values]
    assert statistics.log_quantiles(values, quantile) == pytest.approx(expected, abs=1e-15)


def test_log_quantiles_of_nothing() -> None:
    assert statistics.log_quantiles([], 0.5).shape == (0,)


def test_interval_is_students() -> None:
    y = np.random.default_rng(1).normal(3, 2, (4, 7))
    found = statistics.interval(y)
    for row, low, high in zip(y, found.low, found.high, strict=True):
        expected = stats.t.interval(0.95, len(row) - 1, row.mean(), stats.sem(row))
        assert (low, high) == pytest.approx(expected, rel=1e-12)


def test_interval_leaves_out_missing_processes() -> None:
    y = np.array([[1.0, np.nan, 2.0, 4.0], [np.nan] * 4, [1.0, 2.0, np.nan, np.nan]])
    found = statistics.interval(y)
    alone = statistics.interval(np.array([1.0, 2.0, 4.0]))
    assert (found.mean[0], found.low[0], found.high[0]) == (alone.mean, alone.low, alone.high)
    assert np.isnan(found.mean[1])
    assert found.mean[2] == 1.5
    assert found.processes.tolist() == [3, 0, 2]


@pytest.mark.parametrize(("processes", "there"), [(1, False), (2, False), (3, True)])
def test_no_interval_below_three_processes(processes: int, there: bool) -> None:
    found = statistics.interval(np.arange(float(processes)))
    assert np.isfinite(found.low) == np.isfinite(found.high) == there
    assert np.isfinite(found.mean)


@pytest.mark.parametrize("processes", [3, 5, 8])
def test_intervals_cover_the_truth(processes: int) -> None:
    rng = np.random.default_rng(processes)
    runs, truth = 600, np.log(1e6)
    noise = rng.normal(0, 0.05, (runs, processes, 1)) + rng.normal(0, 0.03, (runs, processes, 9))
    y = statistics.log_quantiles(np.exp(truth + noise).reshape(-1, 9).tolist(), 0.5).reshape(runs, processes)
    found = statistics.interval(y)
    share = ((found.low <= truth) & (truth <= found.high)).mean()
    assert 0.92 < share < 0.98


def test_pairing_takes_out_what_a_process_shares() -> None:
    rng = np.random.default_rng(2)
    shared = rng.normal(0, 0.3, (200, 5))
    base, own = (shared + rng.normal(0, 0.01, (200, 5)) for _ in range(2))
    found = statistics.interval(base - own)
    assert (found.high - found.low).max() < 0.15
    assert 0.9 < ((found.low <= 0) & (found.high >= 0)).mean() < 0.99


@pytest.mark.parametrize(
    ("n", "chosen"),
    [
        ([256, 512, 1024, 2048], [256, 512, 1024, 2048]),
        ([512, 1024, 2048, 4096, 8192, 16384], [2048, 4096, 8192, 16384]),
        ([100, 1000, 3000, 8000], [1000, 3000, 8000]),
        ([16, 32, 64, 1024], []),
        ([1024, 2048], []),
        ([], []),
    ],
)
def test_the_longest_three_octaves(n: list[int], chosen: list[int]) -> None:
    lengths = np.array(n, np.int64)
    assert lengths[statistics.longest_octaves(lengths)].tolist() == chosen


def test_slopes_are_least_squares() -> None:
    rng = np.random.default_rng(3)
    x, y = np.log([64, 128, 300, 512]), rng.normal(size=(4, 6))
    expected = [stats.linregress(x, column).slope for column in y.T]
    assert statistics.slopes(x, y) == pytest.approx(expected, rel=1e-12)


def test_slopes_of_a_power_law_and_of_a_gap() -> None:
    x = np.log([64.0, 128.0, 256.0])
    y = np.stack([1.7 * x + 4, 1.7 * x + 4], 1)
    y[1, 1] = np.nan
    found = statistics.slopes(x, y)
    assert found[0] == pytest.approx(1.7)
    assert np.isnan(found[1])


X = np.array([256.0, 512, 1024, 2048])


@pytest.mark.parametrize(
    ("difference", "kind", "at"),
    [
        ([3, 1, -1, -3], CROSSES, 2**9.5),
        ([3, 1, -3, -3], CROSSES, 2**9.25),
        ([-1, 1, -1, -1], CROSSES, 2**9.5),
        ([1, -1, 1, -1], CROSSES, 2**10.5),
        ([1, 1, 0, -1], CROSSES, 2**10),
        ([-1, -2, -3, -4], ALWAYS, np.nan),
        ([3, 2, 1, 0.5], NEVER, np.nan),
        ([-3, -2, -1, 0.5], NEVER, np.nan),
        ([3, 2, 1, 0], UNCLEAR, np.nan),
        ([np.nan, 1, -1, -2], CROSSES, 2**9.5),
        ([np.nan, np.nan, np.nan, np.nan], "", np.nan),
    ],
)
def test_crossovers(difference: list[float], kind: str, at: float) -> None:
    found = crossover.crossover(X, np.repeat(np.array(difference, float)[:, None], 3, axis=1))
    assert found.kind == kind
    assert [found.at, found.low, found.high] == pytest.approx([at] * 3, nan_ok=True), "without noise it is one point"
    few = crossover.crossover(X, np.repeat(np.array(difference, float)[:, None], 2, axis=1))
    assert few.kind == "", "two processes have no interval"


def test_an_interval_of_a_crossover_is_cut_at_the_range() -> None:
    noise = np.array([-1.0, 0.0, 1.0])
    known = crossover.crossover(X, np.array([[0.5], [-1], [-9], [-9]]) + noise)
    assert known.kind == CROSSES
    assert np.isnan(known.low), "at 256 it may be faster"
    assert 256 < known.at < 512 < known.high < 1024
    before = crossover.crossover(X, np.array([[-0.5], [-9], [-9], [-9]]) + noise)
    assert (before.kind, before.first, before.last) == (CROSSES, 256, 2048)
    assert np.isnan([before.at, before.low]).all()
    assert 256 < before.high < 512
    after = crossover.limit(X, np.array([[-9], [-9], [-9], [-0.5]]) + noise)
    assert (after.kind, after.first, after.last) == (CROSSES, 256, 2048)
    assert np.isnan([after.at, after.high]).all()
    assert 1024 < after.low < 2048


def test_a_crossover_agrees_with_the_verdict_at_each_point() -> None:
    rng = np.random.default_rng(0)
    for _ in range(500):
        difference = rng.normal(rng.normal(0, 1, (4, 1)), rng.uniform(0.01, 1), (4, 5))
        difference[rng.random((4, 5)) < 0.1] = np.nan
        found = crossover.crossover(X, difference)
        _, low, high, processes = statistics.interval(difference)
        told = crossover.verdicts(np.exp(-high), np.exp(-low))
        known = X[processes >= 3], told[processes >= 3]
        if not len(known[0]):
            assert found.kind == ""
            continue
        assert (found.kind == ALWAYS) == (known[1] == FASTER).all()
        assert (found.kind == NEVER) == (known[1][-1] == SLOWER)
        assert (found.kind == UNCLEAR) == (known[1][-1] == CLOSE)
        if found.kind == CROSSES:
            ends = [each for each in (found.low, found.at, found.high) if not np.isnan(each)]
            assert ends == sorted(ends)
            assert known[0][0] <= ends[0] <= ends[-1] <= known[0][-1]
            assert (known[1][known[0] > found.high] == FASTER).all()
            if not np.isnan(found.low):
                assert SLOWER in known[1][known[0] <= found.low], "before its low end it was slower"
