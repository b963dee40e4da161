"""A worker: a process that measures what it is asked, and may die of it.

Requests and replies are JSON objects over a pipe. Torch is imported only once the process has its log file,
its signals and the thread that ends it when its parent is gone.
"""

import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from attnbench import variants
from attnbench.suites import Case

Marks = Any
"""A shared array of two integers: the case in flight, and a count that moves as long as work goes on."""


def serve(pipe: Connection, log: str, marks: Marks, budget_bytes: int | None, folders: list[str]) -> None:
    """Answer requests until the pipe closes."""
    _detach(log)
    for folder in folders:
        variants.extend(Path(folder))
    import torch

    from attnbench.runner import environment, memory, probe, timing
    from attnbench.runner.sampling import Plan

    # torch.backends' own switches: float32 means float32, also where TF32 would be faster.
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    if budget_bytes is not None:
        memory.limit(budget_bytes)

    def mark(index: int) -> None:
        marks[0] = index
        marks[1] += 1

    def answer(request: dict[str, Any]) -> object:
        if request["do"] == "environment":
            return environment.of_torch()
        torch.set_num_threads(request["threads"])
        if request["do"] == "probe":
            case = Case.from_json(request["case"])
            return probe.probe(case, request["budget_bytes"], _stage(pipe)).to_json()
        cases = [(Case.from_json(each["case"]), Plan(**each["plan"])) for each in request["cases"]]
        samples = timing.group(cases, request["replicate"], request["seed"], request["value_ns"], mark)
        return [sample.to_json() for sample in samples]

    pipe.send_bytes(b'{"ready": true}')
    while True:
        try:
            request = json.loads(pipe.recv_bytes())
        except EOFError:
            return
        pipe.send_bytes(json.dumps({"reply": answer(request)}).encode())


def _detach(log: str) -> None:
    """Send both outputs to the log, leave Ctrl-C to the parent, and end when the parent does."""
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


def _stage(pipe: Connection) -> Callable[[str], None]:
    """Tells the parent what is being done, so that a death can be told where it struck."""

    def stage(name: str) -> None:
        pipe.send_bytes(json.dumps({"stage": name}).encode())

    return stage
