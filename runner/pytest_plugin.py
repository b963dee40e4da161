"""pytest plugin: each case of a `*.bench.yaml` suite is a test and a benchmark of pytest-benchmark.

pytest loads this module in every session, so everything but pytest is imported only when such a file is collected.
"""

import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    from attnbench.reports.export.benchmarks import Benchmark
    from attnbench.runner.workers.prober import Prober
    from attnbench.suites import Case
    from attnbench.suites.schema.suite import Suite

ENDING = ".bench.yaml"


class SuiteFile(pytest.Module):
    """A suite as pytest collects it. It is an empty module, because fixtures with module scope need a module."""

    suite: "Suite"
    out_of_time = False
    """Whether the suite's time was spent before all cases were measured."""

    def collect(self) -> Iterator["CaseTest"]:
        """A test for each case.

        Raises:
            CollectError: pytest-benchmark is absent, or the suite is invalid.
        """
        from attnbench.suites import SuiteError
        from attnbench.suites.case import names, settings
        from attnbench.suites.schema.load import load

        path = os.path.relpath(self.path)
        if self.config.getoption("benchmark_only", None) is None:
            raise self.CollectError(f"{path}: expected pytest-benchmark, found none; pip install pytest-benchmark")
        try:
            self.suite = load(path)
        except SuiteError as error:
            raise self.CollectError(str(error)) from None
        self.obj = ModuleType(self.path.name)
        cases = self.suite.cases()
        points = [{"label": case.label, **case.flat()} for case in cases]
        for case, name, group in zip(cases, names(points), settings(points), strict=True):
            yield CaseTest.from_parent(self, name=name, case=case, group=group)

    @cached_property
    def measured(self) -> Mapping[str, "Benchmark"] | str:
        """Results of the selected cases of this file by key, measured in one run; or the reason for none."""
        from attnbench.reports.data import reading
        from attnbench.reports.export.benchmarks import benchmarks
        from attnbench.reports.findings.run import judged
        from attnbench.runner.execution import engine
        from attnbench.runner.execution.journal import FolderError
        from attnbench.runner.execution.progress import Plain
        from attnbench.runner.workers.worker import WorkerEnded

        chosen = [test.case for test in self.session.items if isinstance(test, CaseTest) and test.file is self]
        command = ["pytest", *map(str, self.config.invocation_params.args)]
        with self._folder() as folder:
            try:
                folders = _folders(self.config)
                finished = engine.run(self.suite, folder, Plain(), cases=chosen, command=command, folders=folders)
            except (FolderError, WorkerEnded) as error:
                return str(error)
            self.out_of_time = finished.out_of_time
            kept = reading.read(folder)
            return {each.case: each for each in benchmarks(judged(folder, kept), kept)}

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        """The folder of the run: one in --bench-out, or a temporary one."""
        out: Path | None = self.config.getoption("bench_out")
        if out is not None:
            yield out / self.nodeid.removesuffix(".yaml")
            return
        with tempfile.TemporaryDirectory(prefix="attnbench-") as folder:
            yield Path(folder)

    @cached_property
    def prober(self) -> "Prober":
        """The prober of this file. It is closed after the last test."""
        from attnbench.runner.machine import memory
        from attnbench.runner.workers.prober import Prober

        budget, folders, origin = self.suite.budget, _folders(self.config), self.suite.origin
        prober = Prober(budget, budget.bytes_of(memory.available_bytes()), folders, origin=origin)
        self.addfinalizer(prober.close)
        return prober


class CaseTest(pytest.Function):
    """A case as a test. pytest-benchmark gets a timer that replays the measured values."""

    def __init__(self, *, parent: SuiteFile, case: "Case", group: str, **known: Any) -> None:
        super().__init__(parent=parent, callobj=attention, **known)
        self.file = parent
        self.case = case
        self.ticks = deque[float]()
        self.add_marker(pytest.mark.benchmark(group=group, timer=_replaying(self.ticks)))

    def reportinfo(self) -> tuple[Path, int, str]:
        """Report the suite as the location of the test."""
        return self.path, 0, self.name

    def replay(self, measured: "Benchmark") -> None:
        """Make each round take the time of one value: two ticks, 0 and the total of its calls."""
        self.ticks.extend(tick for value in measured.values_s for tick in (0.0, value * measured.calls))


def attention(benchmark: Any, request: pytest.FixtureRequest) -> None:
    """Pass if the case passed when it was measured or, with --benchmark-disable, in one probe.

    `benchmark` is the fixture of pytest-benchmark, whose functions have no types.
    """
    from attnbench.runner.workers.worker import NotStarted
    from attnbench.suites import Status
    from attnbench.suites.result import is_fault

    test: CaseTest = request.node
    found = test.file.measured if benchmark.enabled else {}
    if isinstance(found, str):
        _fail(benchmark, found)
    measured = found.get(test.case.key)
    try:
        ended = measured or test.file.prober.probe(test.case)
    except NotStarted as end:
        _fail(benchmark, end.reason)
    reason = f"{ended.status}: {ended.reason}"
    if is_fault(ended.status, predicted=ended.predicted):
        _fail(benchmark, reason)
    if ended.status is Status.SKIPPED and test.file.out_of_time:
        _fail(benchmark, reason)
    if ended.status is not Status.PASSED:
        pytest.skip(reason)
    if measured is None:
        benchmark.pedantic(_call)
        return
    test.replay(measured)
    benchmark.params = dict(measured.params)
    benchmark.extra_info.update(measured.extra)
    benchmark.pedantic(_call, rounds=len(measured.values_s), iterations=measured.calls)


def _call() -> None:
    """The function that pytest-benchmark calls. It is empty, because the calls were measured before."""


class _NotPassed(Exception):
    """Raised inside pytest-benchmark for a case that did not pass."""


def _fail(benchmark: Any, reason: str) -> NoReturn:
    """Fail without a traceback. pytest-benchmark gets an exception, because it warns if it is not used."""

    def call() -> None:
        raise _NotPassed

    with suppress(_NotPassed):
        benchmark.pedantic(call)
    pytest.fail(reason, pytrace=False)


def _replaying(ticks: deque[float]) -> Callable[[], float]:
    """A timer that returns one tick after the other, in seconds."""

    def attnbench() -> float:  # pytest-benchmark stores this name as the timer
        return ticks.popleft() if ticks else 0.0

    return attnbench


def _folders(config: pytest.Config) -> tuple[Path, ...]:
    """The folders of variants outside the package."""
    return tuple(config.getoption("bench_variants"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add our options."""
    group = parser.getgroup("attnbench")
    group.addoption(
        "--bench-out",
        type=Path,
        metavar="DIR",
        help="Keep the runs of *.bench.yaml, one folder per file in DIR, which must be new or empty.",
    )
    group.addoption(
        "--bench-variants",
        type=Path,
        metavar="FOLDER",
        action="append",
        default=[],
        help="Also use the variants in FOLDER. Their code is run.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Load variants of other folders, and refuse unusable folders before anything is measured."""
    out: Path | None = config.getoption("bench_out")
    folders = _folders(config)
    if out is None and not folders:
        return
    from attnbench import variants
    from attnbench.runner.execution import journal

    try:
        for folder in folders:
            variants.extend(folder)
    except ValueError as error:
        raise pytest.UsageError(f"--bench-variants {error}") from None
    try:
        if out is not None:
            journal.make_folder(out)
    except journal.FolderError as error:
        raise pytest.UsageError(f"--bench-out {error}") from None


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> SuiteFile | None:
    """Collect a file as a suite if its name ends in `.bench.yaml`."""
    return SuiteFile.from_parent(parent, path=file_path) if file_path.name.endswith(ENDING) else None
