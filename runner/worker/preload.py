"""Modules that the fork server loads before it forks probe workers, so that a worker starts in milliseconds.

The server runs no tensor operation, because forked workers would hang on its threads. It opens one empty profile,
because the first profile of a process takes a second.
"""

import os

from attnbench.runner.machine import system_errors
from attnbench.runner.worker.process import leftovers

# Before torch, whose import takes seconds: the server itself checks for its parent only after all imports.
leftovers.end_with_parent()

# OpenBLAS joins its threads at every fork. If the system refused to start one of them, it would wait forever.
system_errors.do_without_threads()
import numpy as numpy  # noqa: E402  # see above

for _name in system_errors.not_inherited():
    del os.environ[_name]

import torch  # noqa: E402  # see above
import torch.fx.experimental.symbolic_shapes  # noqa: E402  # else imported by the first gradient of each worker
from torch.profiler import ProfilerActivity, profile  # noqa: E402  # see above

from attnbench.runner.worker import probe as probe  # noqa: E402  # see above

# The profiler writes messages to standard error from C++; they are not for the user.
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
