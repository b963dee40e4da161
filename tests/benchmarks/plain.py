"""The cases of suites/ci.yaml as plain pytest-benchmark tests, for `gate.py` to compare that gate with ours.

python -m pytest tests/benchmarks/plain.py --benchmark-save=base
python -m pytest tests/benchmarks/plain.py --benchmark-compare --benchmark-compare-fail=median:5%
"""

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from attnbench.runner.worker.call import calls, programs
from attnbench.runner.worker.call.inputs import inputs
from attnbench.suites import Case, shipped
from attnbench.suites.schema.load import load


@pytest.mark.parametrize("case", load(shipped()["ci"]).cases(), ids=lambda case: str(case.title))
def test_call(benchmark: BenchmarkFixture, case: Case) -> None:
    torch.manual_seed(0)
    given = inputs(case.setting.shape, case.setting.dtype, case.setting.device)
    benchmark(calls.call(programs.build(case), given, case.setting.direction))
