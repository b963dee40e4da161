"""The parent's handle of a worker process: start it, send a request, read the reply, stop it."""

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

START_S = 120.0
"""A worker that is not ready after this long never will be."""
GLANCE_S = 1.0
"""How often a waiting parent looks whether work still goes on: rarely, for it shares the cores."""
_END_S = 10.0
"""A process that has closed its pipe may take so long to end: with a lost CUDA context it takes seconds."""
LONGEST_BYTES = 2**28
"""What announces a longer message is none."""

_KINDS = {"ready", "stage", "reply", "ended"}
"""What a message holds one of."""
_DOING = {"ready": "being made ready", "time": "being timed", "turns": "taking turns", "settle": "being proved"}
"""What a worker does that does not say so itself."""


RUBBISH = "its process sent rubbish instead of a reply"

T = TypeVar("T")


class WorkerEnded(Exception):
    """A worker died or had to be killed: the status and reason for what it was doing."""

    def __init__(self, status: Status, reason: str, index: int) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.index = index
        """The case in flight, as marked."""


class NotStarted(WorkerEnded):
    """The system refused a worker, or it ended before it was ready: that says nothing of any case."""

    def __init__(self, reason: str) -> None:
        super().__init__(Status.FAILED, f"{NOT_STARTED}: {reason}", 0)


def understood(make: Callable[[Any], T], reply: Any) -> T:
    """What a reply says, as `make` reads it.

    Raises:
        WorkerEnded: it is no such reply.
    """
    try:
        return make(reply)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise WorkerEnded(Status.CRASHED, RUBBISH, 0) from None


class Asked(Protocol):
    """A worker as those see it who ask it; a test's stand-in is one too."""

    def ask(self, request: dict[str, Any], patience_s: float) -> Any:
        """The reply to a request."""

    def wait(self) -> None:
        """Wait until it is ready."""

    def close(self) -> None:
        """End it."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


StartKind = Literal["forkserver", "spawn"]
StartWorker = Callable[[StartKind, int | None, tuple[Path, ...]], Asked]
"""Starts a worker: how, within which budget of bytes, with which folders of variants."""


class Worker:
    """One process: `forkserver` is ready in milliseconds, for probes; `spawn` is a fresh interpreter.

    It starts on its own; the first question waits for it. It ends at the latest with the thread that started it.
    """

    def __init__(
        self,
        start: StartKind,
        budget_bytes: int | None = None,
        folders: tuple[Path, ...] = (),
        link: Connection | None = None,
        environment: Mapping[str, str] | None = None,
        root: Path | None = None,
    ) -> None:
        """`link` leads to another worker, with which this one takes turns; it gets `environment` besides ours.

        What it imports is looked for under `root` first, apart from what measures.

        Raises:
            NotStarted: the system refuses it.
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
            self._marks = context.Array("q", 2, lock=False)
            self._pipe, theirs = context.Pipe()
            starting.fail_slow_reads(self._pipe)
            given = (root and str(root), theirs, self._log.name, self._marks, budget_bytes, paths, link)
            self._process = context.Process(target=entry.serve, args=given, daemon=True)
            with (
                starting.interrupts_held(),
                starting.program_hidden(),
                starting.environment(environment or {}),
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

    def ask(self, request: dict[str, Any], patience_s: float) -> Any:
        """The reply to a request.

        The worker has `patience_s` for all of it, or, where it marks its pieces of work, for each of them.

        Raises:
            WorkerEnded: it died, or it was killed because it took longer.
        """
        self.tell(request)
        return self.reply(patience_s)

    def tell(self, request: dict[str, Any]) -> None:
        """Send a request, and do not wait for the reply.

        Raises:
            WorkerEnded: it died before.
        """
        self.wait()
        # Who dies before the first piece of work is marked was at this one.
        self._marks[0] = request.get("index", 0)
        self._doing = _DOING.get(request["do"], "beginning")
        try:
            self._pipe.send_bytes(json.dumps(request).encode())
        except OSError:
            raise self._died() from None

    def reply(self, patience_s: float) -> Any:
        """The reply to the request that was told.

        Raises:
            WorkerEnded: it died, or it was killed because it took longer.
        """
        return understood(itemgetter("reply"), self._receive(patience_s))

    def wait(self) -> None:
        """Wait until it is ready.

        Raises:
            NotStarted: it died before, or it was killed because it took too long.
        """
        if self._ready:
            return
        try:
            self._receive(START_S)
        except WorkerEnded as end:
            raise NotStarted(end.reason) from None
        self._ready = True

    def close(self) -> None:
        """End the process."""
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
        """Close the log. The worker takes its name away itself, unless it never came to it."""
        self._log.close()
        Path(self._log.name).unlink(missing_ok=True)

    def _receive(self, patience_s: float) -> dict[str, Any]:
        """The next message that is no stage."""
        doing, count, deadline = self._doing, self._marks[1], time.monotonic() + patience_s
        left_s: float | None = None
        """What was left of the time when work began that takes nothing of it."""
        while True:
            if self._pipe.poll(min(GLANCE_S, max(deadline - time.monotonic(), 0))):
                message = self._message(patience_s)
                if "ended" in message:
                    status, reason = understood(itemgetter(0, 1), message["ended"])
                    raise WorkerEnded(understood(Status, status), reason, self._marks[0])
                if "stage" not in message:
                    return message
                doing, now_s = message["stage"], time.monotonic()
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
        """The message that has begun to come.

        Raises:
            WorkerEnded: the process died, or was killed because what it sent is no message.
        """
        try:
            message = json.loads(self._pipe.recv_bytes(LONGEST_BYTES))
        except BlockingIOError:
            pass  # rubbish that announced bytes which never came
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
        """How the process ended."""
        self._process.join(GLANCE_S)
        status, reason = failure.of_exit(self._process.exitcode, self._last_words())
        return WorkerEnded(status, reason, self._marks[0])

    def _last_words(self) -> str:
        """The last line of the log that is not the profiler's own."""
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").splitlines()
        said = [line.strip() for line in lines if line.strip() and not line.startswith("USDT:")]
        return said[-1][:300] if said else ""


class _Starting(Protocol):
    """What is started."""

    def wait(self) -> None:
        """Wait until it is ready."""

    def close(self) -> None:
        """End the process."""


_Started = TypeVar("_Started", bound=_Starting)


def started(start: Callable[[], _Started]) -> _Started:
    """A worker that is ready; where it could not be started, another is tried, once.

    Raises:
        NotStarted: neither could.
    """
    try:
        return _ready(start())
    except NotStarted:
        return _ready(start())


def _ready(worker: _Started) -> _Started:
    """The worker, once it is ready."""
    try:
        worker.wait()
    except BaseException:  # Ctrl-C too: no process is left behind
        worker.close()
        raise
    return worker


def _refused(error: BaseException) -> str:
    """Why no process could be started."""
    return system_errors.of(error) or f"what starts it has ended ({type(error).__name__})"


def kind_for(*cases: Case) -> StartKind:
    """How a worker of these cases is started: nothing of CUDA survives a fork."""
    return "spawn" if _on_cuda(cases) else "forkserver"


def limit_for(budget_bytes: int, *cases: Case) -> int | None:
    """What a worker of these cases may allocate: a limit on the host's memory is none on a CUDA device's."""
    return None if _on_cuda(cases) else budget_bytes


def _on_cuda(cases: Sequence[Case]) -> bool:
    return any(case.setting.device == "cuda" for case in cases)
