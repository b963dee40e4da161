"""Parent-side handle of a worker process: start, send a request, read the reply, stop."""

import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self, TypeVar

from attnbench.runner.machine import system_errors
from attnbench.runner.worker import entry
from attnbench.runner.worker.process import failure
from attnbench.runner.workers import starting
from attnbench.suites import Case, Status
from attnbench.suites.result import NOT_STARTED
from attnbench.variants import _edges

START_S = 120.0
"""Time limit for a worker to become ready."""
GLANCE_S = 1.0
"""Seconds between a waiting parent's checks for progress. They are rare because it shares the cores with the worker."""
_END_S = 10.0
"""Time limit for a process to end after it closed its pipe. With a lost CUDA context this takes seconds."""
LONGEST_BYTES = 2**28
"""The longest valid message."""

_KINDS = {"ready", "stage", "reply", "ended"}
"""Keys of a message; each message has one of them."""
_DOING = {"ready": "being made ready", "time": "being timed", "turns": "taking turns", "settle": "being proved"}
"""Descriptions of requests during which the worker reports no stage."""


RUBBISH = "its process sent rubbish instead of a reply"

T = TypeVar("T")
Heard = Callable[[str, float], object]
"""Function that is told the stage of a long request, and which share of the request is done."""


class WorkerEnded(Exception):
    """A worker died or was killed. It has the status and reason for the case that the worker was working on."""

    def __init__(self, status: Status, reason: str, index: int) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.index = index
        """The index of this case."""


class NotStarted(WorkerEnded):
    """A worker could not be started, or ended before it was ready. No case is to blame."""

    def __init__(self, reason: str) -> None:
        super().__init__(Status.FAILED, f"{NOT_STARTED}: {reason}", 0)


def understood(make: Callable[[Any], T], reply: Any) -> T:
    """Parse a reply with `make`.

    Raises:
        WorkerEnded: the reply is invalid.
    """
    try:
        return make(reply)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise WorkerEnded(Status.CRASHED, RUBBISH, 0) from None


class Asked(Protocol):
    """Interface of a worker. Tests have a substitute."""

    def ask(self, request: dict[str, Any], patience_s: float, heard: Heard | None = None) -> Any:
        """Send a request and return the reply. What is `heard` until then is how much of it is done."""

    def wait(self) -> None:
        """Wait until it is ready."""

    def close(self) -> None:
        """Stop it."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


StartKind = Literal["forkserver", "spawn"]
StartWorker = Callable[[StartKind, int | None, tuple[Path, ...]], Asked]
"""Starts a worker, given the start method, the memory budget in bytes, and folders of variants."""


class Worker:
    """A worker process. `forkserver` starts in milliseconds (for probes); `spawn` starts a fresh interpreter.

    The constructor does not wait until the process is ready; the first request does. The process ends at the latest
    with the thread that started it.
    """

    def __init__(
        self,
        start: StartKind,
        budget_bytes: int | None = None,
        folders: tuple[Path, ...] = (),
        link: Connection | None = None,
        environment: Mapping[str, str] | None = None,
        root: Path | None = None,
        interpreter: starting.Interpreter | None = None,
    ) -> None:
        """Start the process.

        `link` is a connection to another worker that takes turns with this one. `environment` has additional variables.
        Imports are searched under `root` first, except those of attnbench itself. `interpreter` is the Python of
        another environment; only `spawn` can start it.

        Raises:
            NotStarted: the system refused the process.
        """
        starting.prepare_environment()
        paths = [str(folder) for folder in folders]
        try:
            self._log = tempfile.NamedTemporaryFile(  # noqa: SIM115  # closed by close()
                prefix="attnbench-", suffix=".log", delete=False
            )
        except OSError as error:
            raise NotStarted(_refused(error)) from None
        try:
            context: Any = multiprocessing.get_context(start)
            if start == "forkserver":
                context.set_forkserver_preload(["attnbench.runner.worker.preload"])
            # Shared memory: the index of the case at work, and a counter of pieces of work. Unlike a message, a mark
            # costs the worker no system call, and the parent can read it after the worker died.
            self._marks = context.Array("q", 2, lock=False)
            self._pipe, theirs = context.Pipe()
            starting.fail_slow_reads(self._pipe)
            edges = _edges.places()
            given = (root and str(root), theirs, self._log.name, self._marks, budget_bytes, paths, link, edges)
            self._process = context.Process(target=entry.serve, args=given, daemon=True)
            with (
                starting.interrupts_held(),
                starting.program_hidden(),
                starting.environment(environment or {}),
                starting.interpreter(interpreter),
                starting.errors_to(self._log.fileno()),
            ):
                self._process.start()
        except (OSError, EOFError, MemoryError, ImportError) as error:
            said = self._last_words()
            self._remove_log()
            raise NotStarted(_refused(error) + (f"; last words: {said}" if said else "")) from None
        theirs.close()
        self._ready = False
        self._doing = "starting"

    def ask(self, request: dict[str, Any], patience_s: float, heard: Heard | None = None) -> Any:
        """Send a request and return the reply. `heard` is told how much of it is done, if the worker says so.

        The time limit `patience_s` holds for the whole request. If the worker marks its pieces of work, the limit holds
        for each piece.

        Raises:
            WorkerEnded: the worker died, or was killed because it took longer.
        """
        self.tell(request)
        return self.reply(patience_s, heard)

    def tell(self, request: dict[str, Any]) -> None:
        """Send a request without waiting for the reply.

        Raises:
            WorkerEnded: the worker died before.
        """
        self.wait()
        # If the worker dies before it marks a piece of work, blame this case.
        self._marks[0] = request.get("index", 0)
        self._doing = _DOING.get(request["do"], "beginning")
        try:
            self._pipe.send_bytes(json.dumps(request).encode())
        except OSError:
            raise self._died() from None

    def reply(self, patience_s: float, heard: Heard | None = None) -> Any:
        """Return the reply to the request that was sent with `tell`.

        Raises:
            WorkerEnded: the worker died, or was killed because it took longer.
        """
        return understood(itemgetter("reply"), self._receive(patience_s, heard))

    def wait(self) -> None:
        """Wait until the worker is ready.

        Raises:
            NotStarted: it died before, or was killed because it took too long.
        """
        if self._ready:
            return
        try:
            self._receive(START_S)
        except WorkerEnded as end:
            raise NotStarted(end.reason) from None
        self._ready = True

    def close(self) -> None:
        """Kill the process and remove its log."""
        self._process.kill()
        self._process.join()
        self._pipe.close()
        self._remove_log()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _remove_log(self) -> None:
        """Close the log and delete the file. The worker has usually deleted it already."""
        self._log.close()
        Path(self._log.name).unlink(missing_ok=True)

    def _receive(self, patience_s: float, heard: Heard | None = None) -> dict[str, Any]:
        """Return the next message that is not a stage. Stages and marks extend the time limit."""
        doing, count, deadline = self._doing, self._marks[1], time.monotonic() + patience_s
        left_s: float | None = None
        """Time left when an `aside` stage began. Such stages do not count towards the limit."""
        while True:
            if self._pipe.poll(min(GLANCE_S, max(deadline - time.monotonic(), 0))):
                message = self._message(patience_s)
                if "ended" in message:
                    status, reason = understood(itemgetter(0, 1), message["ended"])
                    raise WorkerEnded(understood(Status, status), reason, self._marks[0])
                if "stage" not in message:
                    return message
                doing, now_s = message["stage"], time.monotonic()
                if heard and message.get("share") is not None:
                    heard(doing, understood(float, message["share"]))
                if message.get("aside"):
                    left_s = deadline - now_s if left_s is None else left_s
                    deadline = now_s + patience_s
                elif left_s is not None:
                    deadline, left_s = now_s + left_s, None
            elif self._marks[1] != count:
                count, deadline = self._marks[1], time.monotonic() + patience_s
            elif time.monotonic() >= deadline:
                self._process.kill()
                limit = f"{patience_s:g} s (budget.case_s)" if self._ready else f"{patience_s:g} s"
                reason = f"no result within {limit}, while {doing}"
                raise WorkerEnded(Status.TIMED_OUT, reason, self._marks[0])

    def _message(self, patience_s: float) -> dict[str, Any]:
        """Read a message that has begun to arrive.

        Raises:
            WorkerEnded: the process died, or was killed because it sent an invalid message.
        """
        try:
            message = json.loads(self._pipe.recv_bytes(LONGEST_BYTES))
        except BlockingIOError:
            pass  # an invalid length: the bytes never arrived
        except (EOFError, OSError):
            self._process.join(min(_END_S, patience_s))
            if self._process.exitcode is not None:
                raise self._died() from None
        except ValueError:
            pass
        else:
            if isinstance(message, dict) and message.keys() & _KINDS:
                return message
        self._process.kill()
        raise WorkerEnded(Status.CRASHED, RUBBISH, self._marks[0])

    def _died(self) -> WorkerEnded:
        """Return the exception for a process that has ended."""
        self._process.join(GLANCE_S)
        status, reason = failure.of_exit(self._process.exitcode, self._last_words())
        return WorkerEnded(status, reason, self._marks[0])

    def _last_words(self) -> str:
        """Return the last line of the log. Lines of torch's profiler are ignored."""
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").splitlines()
        said = [line.strip() for line in lines if line.strip() and not line.startswith("USDT:")]
        return said[-1][:300] if said else ""


class _Starting(Protocol):
    """Interface that `started` needs."""

    def wait(self) -> None:
        """Wait until it is ready."""

    def close(self) -> None:
        """End the process."""


_Started = TypeVar("_Started", bound=_Starting)


def started(start: Callable[[], _Started]) -> _Started:
    """Start a worker and wait until it is ready. If that fails, try once more.

    Raises:
        NotStarted: both attempts failed.
    """
    try:
        return _ready(start())
    except NotStarted:
        return _ready(start())


def _ready(worker: _Started) -> _Started:
    """Wait until a worker is ready, and return it."""
    try:
        worker.wait()
    except BaseException:  # also after Ctrl-C, leave no process behind
        worker.close()
        raise
    return worker


def _refused(error: BaseException) -> str:
    """Return the reason why no process could be started."""
    return system_errors.of(error) or f"what starts it has ended ({type(error).__name__})"


def kind_for(*cases: Case) -> StartKind:
    """Return the start method of a worker for these cases. CUDA does not survive a fork."""
    return "spawn" if _on_cuda(cases) else "forkserver"


def limit_for(budget_bytes: int, *cases: Case) -> int | None:
    """Return the memory limit of a worker for these cases; None on CUDA, where it would limit only host memory."""
    return None if _on_cuda(cases) else budget_bytes


def _on_cuda(cases: Sequence[Case]) -> bool:
    return any(case.setting.device == "cuda" for case in cases)
