"""Main loop of a worker process, which answers requests to measure.

Requests and replies are JSON objects over a pipe. A case may kill the process. So torch is imported only after the log
file, the signals and the thread that watches the parent are set up.
"""

import gc
import hashlib
import itertools
import json
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnbench import variants
from attnbench.runner.worker.process import failure, leftovers
from attnbench.suites import Case
from attnbench.suites.origin import Origin

if TYPE_CHECKING:
    from attnbench.runner.worker.timing import Bench

Marks = Any
"""Shared array of two integers: the index of the case in flight, and a counter that grows while work goes on."""


def serve(
    pipe: Connection,
    log: str,
    marks: Marks,
    budget_bytes: int | None,
    folders: list[str],
    link: Connection | None,
    edges: Mapping[str, str] | None = None,
) -> None:
    """Answer requests until the pipe closes.

    `link` is a connection to the worker that takes turns with this one; `edges` are the files of edges that the parent
    knows.
    """
    _detach(log)
    for folder in folders:
        variants.extend(Path(folder))
    if edges:
        # The variants of an older revision know no such files, and no case that needs one.
        with suppress(ImportError):
            from attnbench.variants import _edges

            _edges.remember(edges)
    import torch

    from attnbench.runner.machine import memory

    # TF32 is faster, but keeps only 10 bits of the mantissa. A case in float32 must mean float32.
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    if budget_bytes is not None:
        memory.limit(budget_bytes)
    leftovers.prepare()
    us = os.getpid()
    requests = _Requests(pipe, marks, link)
    pipe.send_bytes(b'{"ready": true}')
    while True:
        try:
            request = json.loads(pipe.recv_bytes())
        except EOFError:
            return
        try:
            reply = requests.answer(request.pop("do"), request)
        except failure.DeviceLost as lost:
            # A normal exit would run CUDA's clean-up on the lost context, which may abort.
            os.write(2, f"{lost}\n".encode())
            os._exit(1)
        except failure.Spoiled as spoiled:
            leftovers.end_forked(us)
            pipe.send_bytes(json.dumps({"ended": [spoiled.status, spoiled.reason]}).encode())
            return
        leftovers.end_forked(us)
        pipe.send_bytes(json.dumps({"reply": reply}).encode())


class _Requests:
    """Requests of the parent. Each method answers one kind of request."""

    def __init__(self, pipe: Connection, marks: Marks, link: Connection | None) -> None:
        self._pipe = pipe
        self._marks = marks
        self._link = link
        self._us = os.getpid()
        self._bench: Bench | None = None

    def answer(self, what: str, request: dict[str, Any]) -> object:
        """Return the reply to a request."""
        answers: dict[str, Callable[..., object]] = {
            "environment": self._environment,
            "free_bytes": self._free_bytes,
            "plan": self._plan,
            "rate": self._rate,
            "probe": self._probe,
            "time": self._time,
            "train": self._train,
            "ready": self._ready,
            "turns": self._turns,
            "settle": self._settle,
            "agreement": self._agreement,
            "overhead": self._overhead,
            "profile": self._profile,
            "imports": self._imports,
        }
        return answers[what](**request)

    def _environment(self) -> object:
        from attnbench.runner.machine import environment

        return environment.of_torch()

    def _free_bytes(self) -> int | None:
        """Return the bytes of the CUDA device that a case can use."""
        from attnbench.runner.machine import memory

        return memory.cuda_free_bytes()

    def _plan(self, case: dict[str, Any], threads: int, budget_bytes: int) -> object:
        """Return what is known about a case before it runs."""
        from attnbench.runner.worker import admission

        _set_threads(threads)
        return admission.plan(Case.from_json(case), budget_bytes)

    def _rate(self, dtype: str, device: str, threads: int) -> float | None:
        """Measure the FLOP/s of a large matrix product."""
        from attnbench.runner.worker.call import clocks, roof

        _set_threads(threads)
        roofs = roof.measure(dtype, device, clocks.of(device))
        return None if roofs is None else roofs.flops_per_s

    def _probe(
        self, case: dict[str, Any], threads: int, budget_bytes: int, oracle: str | None, origin: dict[str, Any]
    ) -> object:
        """Probe a case."""
        from attnbench.runner.worker import probe

        _set_threads(threads)
        return probe.probe(Case.from_json(case), budget_bytes, self._stage, oracle, Origin(**origin)).to_json()

    def _time(
        self,
        cases: list[dict[str, Any]],
        threads: int,
        replicate: int,
        seed: str,
        value_ns: float,
        origin: dict[str, Any],
        energies: bool,
    ) -> list[dict[str, Any]]:
        """Time the cases of a group in one replicate and return their samples."""
        from attnbench.runner.worker import timing
        from attnbench.runner.worker.call.sampling import Plan

        _set_threads(threads)
        planned = [(Case.from_json(each["case"]), Plan(**each["plan"]), each["digest"]) for each in cases]
        content, _ = Origin(**origin).contents
        samples = timing.group(planned, replicate, seed, value_ns, self._mark, content, energies=energies)
        return [sample.to_json() for sample in samples]

    def _train(self, case: dict[str, Any], threads: int, replicate: int, seed: int, lr: float | None) -> object:
        """Train a case's model with one seed and return its score."""
        from attnbench.runner.worker import training

        _set_threads(threads)
        return training.train(Case.from_json(case), replicate, seed, lr, self._stage).to_json()

    def _imports(self, root: str) -> dict[str, str]:
        """Return the SHA-256 of every imported file below `root`, by its path relative to `root`."""
        files = [Path(file) for each in [*sys.modules.values()] if (file := getattr(each, "__file__", None))]
        inside = sorted(file for file in files if file.is_relative_to(root))
        return {str(file.relative_to(root)): hashlib.sha256(file.read_bytes()).hexdigest() for file in inside}

    def _ready(
        self, cases: list[dict[str, Any]], threads: int, value_ns: float, origin: dict[str, Any]
    ) -> dict[str, list[str]]:
        """Build and warm up the cases of a group. Return status and reason of those that failed, by index."""
        from attnbench.runner.worker.timing import Bench

        _set_threads(threads)
        self._bench = None
        # It stays off because no request says which value is the last. The worker's own code makes no cycles.
        gc.collect()
        gc.disable()
        content, _ = Origin(**origin).contents
        self._bench = Bench([Case.from_json(case) for case in cases], value_ns, self._mark, content=content)
        return {str(index): [str(status), reason] for index, (status, reason) in self._bench.ended.items()}

    def _turns(self, index: int, calls: int, led: bool, last: bool, side: int, order: list[int]) -> dict[str, Any]:
        """Take a value each time `order` names this side. The other worker waits meanwhile.

        Return `values`, or `ended` with status and reason if the case failed here. If these are the `last` values of
        the case, the result of the last call is kept for `_settle`.
        """
        assert self._bench is not None
        assert self._link is not None
        values: list[float | None] = []
        try:
            # The two workers pass the turn directly to each other, so the parent does not wake up between values.
            for taker, slots in itertools.groupby(order):
                if taker == side:
                    for _ in slots:
                        ending = last and len(values) == order.count(side) - 1
                        values.append(self._bench.take(index, calls, led=led, last=ending))
                    leftovers.end_forked(self._us)
                    self._link.send_bytes(b"!")
                else:
                    self._link.recv_bytes()
                    self._mark(index)
        except (EOFError, OSError):
            # The other worker died. The parent learns that from its own pipe to it.
            return {"values": []}
        ended = self._bench.ended.get(index)
        return {"ended": ended} if ended else {"values": values}

    def _settle(self, index: int, digest: str | None) -> list[Any] | None:
        """Check the result of a case's last value. Return status and reason if it is wrong."""
        assert self._bench is not None
        self._bench.settle(index, digest)
        ended = self._bench.ended.get(index)
        return None if ended is None else [*ended]

    def _agreement(self, index: int, plan: dict[str, Any], threads: int, seed: str) -> list[list[float]]:
        """Take pairs of values of a ready case, one by this clock and one by torch's timer, in random order."""
        from attnbench.runner.worker.call.sampling import Plan

        assert self._bench is not None
        return self._bench.agreement(index, Plan(**plan), threads, seed)

    def _overhead(self, calls: int) -> float:
        """Return the minimum of 100 values of an empty call: the clock's overhead per call, in nanoseconds."""
        from attnbench.runner.worker.call import clocks

        return min(clocks.cpu(_nothing, calls) for _ in range(100))

    def _profile(self, case: dict[str, Any], threads: int, trace: str, origin: dict[str, Any]) -> object:
        """Profile a case and write its Chrome trace to `trace`."""
        from attnbench.runner.worker import profile

        _set_threads(threads)
        content, _ = Origin(**origin).contents
        return profile.profile(Case.from_json(case), Path(trace), self._stage, content).to_json()

    def _mark(self, index: int) -> None:
        leftovers.end_forked(self._us)
        self._marks[0] = index
        self._marks[1] += 1

    def _stage(self, name: str, *, anew: bool = False, aside: bool = False, share: float | None = None) -> None:
        """Tell the parent which stage begins, as `Stage` says."""
        leftovers.end_forked(self._us)
        self._marks[1] += anew
        self._pipe.send_bytes(json.dumps({"stage": name, "aside": aside, "share": share}).encode())


def _nothing() -> None:
    """Do nothing."""


def _set_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


def _detach(log: str) -> None:
    """Redirect both outputs to the log, ignore Ctrl-C, and exit when the parent does."""
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
    # The parent has the file open too. Without a name, it disappears when both have ended, even if they are killed.
    os.unlink(log)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
    # The thread cannot run while a kernel holds the GIL, so the system is asked as well.
    leftovers.end_with_parent()
