"""Modules that the fork server of probe workers loads, so that a worker starts in milliseconds.

It runs no tensor operation (the forked workers would hang on its threads) but opens one empty profile, or each
worker would pay a second for its first.
"""

import os

from attnbench.runner.machine import system_errors
from attnbench.runner.worker.process import leftovers

# Before torch, which takes seconds: a server looks for its parent only once it has loaded everything.
leftovers.end_with_parent()

# OpenBLAS ends its threads whenever this server forks, and would wait for ever for one that the system had refused.
system_errors.do_without_threads()
import numpy as numpy  # noqa: E402  # see above

for _name in system_errors.not_inherited():
    del os.environ[_name]

import torch  # noqa: E402  # see above
import torch.fx.experimental.symbolic_shapes  # noqa: E402  # what torch would import in each worker's first gradient
from torch.profiler import ProfilerActivity, profile  # noqa: E402  # see above

from attnbench.runner.worker import probe as probe  # noqa: E402  # see above

_stderr = os.dup(2)
_null = os.open(os.devnull, os.O_WRONLY)
os.dup2(_null, 2)
try:
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True):
        pass
finally:
    os.dup2(_stderr, 2)
os.close(_stderr)
os.close(_null)

assert torch.get_num_threads() > 0
