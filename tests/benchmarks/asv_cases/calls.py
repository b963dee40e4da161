"""The cases of suites/ci.yaml as plain asv benchmarks, for `gate.py` to compare asv's gate with ours."""

import torch

from attnbench.runner.worker.call import calls, programs
from attnbench.runner.worker.call.inputs import inputs
from attnbench.suites import shipped
from attnbench.suites.schema.load import load

CASES = {case.title: case for case in load(shipped()["ci"]).cases()}


class Call:
    """One call of each case."""

    params = tuple(CASES)
    param_names = ("case",)

    def setup(self, title: str) -> None:
        """Make the kernel and its inputs."""
        torch.manual_seed(0)
        case = CASES[title]
        given = inputs(case.setting.shape, case.setting.dtype, case.setting.device)
        self.call = calls.call(programs.build(case), given, case.setting.direction).run

    def time_call(self, title: str) -> None:
        """What asv times."""
        self.call()
