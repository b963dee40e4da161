"""A run as an array of SLURM jobs: each measures a shard of the suite, and the last step merges them."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import submitit

from attnbench import variants
from attnbench.reports.data import reading
from attnbench.runner.execution import engine, merging
from attnbench.runner.execution.executor import ExecutorError
from attnbench.runner.execution.journal import make_folder
from attnbench.runner.execution.progress import Progress, Quiet
from attnbench.runner.execution.task import Finished
from attnbench.suites import Case, Result
from attnbench.suites.schema.suite import Suite
from attnbench.suites.shards import Shard

_SHARED = ("timeout_min", "mem_gb", "gpus_per_node", "cpus_per_task")
"""Parameters of a job that have no prefix in submitit."""
_SPARE_MIN = 15
"""Minutes of a job beyond the suite's time, to start and to end."""
_LOOK_S = 5.0
"""Seconds between looks at the jobs."""


@dataclass(frozen=True)
class Jobs:
    """How many jobs measure a suite, and what SLURM is told of each."""

    shards: int
    options: Mapping[str, str | int]
    """Options of sbatch, such as `partition` or `gpus_per_node`."""
    place: str = "slurm"
    """Where jobs run: `slurm`, or `local` for processes of this machine."""

    @classmethod
    def read(cls, shards: int, given: Sequence[str]) -> "Jobs":
        """Return what `--shards` and `--slurm KEY=VALUE` ask for.

        Raises:
            ExecutorError: an option is not written so.
        """
        options = {}
        for each in given:
            key, sign, value = each.partition("=")
            if not key.isidentifier() or not sign or not value:
                raise ExecutorError(f"--slurm: expected KEY=VALUE, such as partition=gpu, found {each}")
            options[key] = int(value) if value.isdecimal() else value
        return cls(shards, options)


def run(
    suite: Suite,
    folder: Path,
    progress: Progress,
    *,
    jobs: Jobs,
    cases: Sequence[Case] | None = None,
    command: Sequence[str] = (),
    folders: tuple[Path, ...] = (),
    look_s: float = _LOOK_S,
) -> Finished:
    """Measure a suite in jobs that each have a machine for themselves, and merge their runs into a new folder.

    The runs of the shards lie in `FOLDER.shards`, with the logs of the jobs. The same command again continues those
    that were interrupted. Ctrl-C cancels the jobs.

    Raises:
        ExecutorError: SLURM is not here, or a job failed.
        FolderError: the folder is in use, or the runs of its shards are of another suite.
        SelectionError: there are more shards than sweeps over lengths.
    """
    cases = list(suite.cases() if cases is None else cases)
    parts = [Shard(index, jobs.shards) for index in range(1, jobs.shards + 1)]
    chosen = [part.of(cases) for part in parts]
    shards = folder.absolute().with_name(f"{folder.name}.shards")
    places = [shards / str(part.index) for part in parts]
    array = _array(shards, suite, jobs)
    make_folder(folder)
    measure = partial(_shard, suite, command=tuple(command), folders=folders)
    found = _submitted(array, measure, [*zip(parts, chosen, places, strict=True)])
    try:
        _wait(found, progress, places, len(cases) * (1 + suite.measure.processes), look_s)
    finally:
        for job in found:
            job.cancel(check=False)
    _refuse_failed(found)
    out_of_time = any(job.result() for job in found)
    folder.rmdir()
    if len(places) == 1:
        places[0].rename(folder)
    else:
        merging.merge(places, folder, command)
    read = reading.read(folder)
    rows: list[Result] = [*read.probes.values()]
    rows += [sample for each in read.samples.values() for sample in each.values()]
    return Finished(tuple(rows), (), out_of_time)


def _shard(
    suite: Suite,
    part: Shard,
    cases: Sequence[Case],
    place: Path,
    *,
    command: tuple[str, ...],
    folders: tuple[Path, ...],
) -> bool:
    """Measure a shard, or what is missing of it. Return whether the suite's time ran out. A job calls it."""
    for each in folders:
        variants.extend(each)
    told: dict[str, Any] = {"command": command, "folders": folders}
    if (place / reading.RUN).exists():
        return engine.resume(place, Quiet(), **told).out_of_time
    return engine.run(suite, place, Quiet(), cases=cases, shard=str(part), **told).out_of_time


def _array(shards: Path, suite: Suite, jobs: Jobs) -> submitit.AutoExecutor:
    """Return what submits the jobs.

    Raises:
        ExecutorError: SLURM is not here, or does not know an option.
    """
    if jobs.place == "slurm" and submitit.SlurmExecutor.affinity() < 0:
        raise ExecutorError("--executor slurm: expected srun, found none; call it on a machine of the cluster")
    executor = submitit.AutoExecutor(shards / "logs", cluster=jobs.place)
    # srun would bind the job to the CPUs of one task.
    usual: dict[str, Any] = {"slurm_exclusive": True, "slurm_use_srun": False}
    usual["timeout_min"] = math.ceil(suite.budget.suite_s / 60) + _SPARE_MIN
    given = {name if name in _SHARED else f"slurm_{name}": value for name, value in jobs.options.items()}
    try:
        executor.update_parameters(name=suite.name, **usual | given)
    except (NameError, ValueError, AssertionError) as error:
        told = " ".join(str(error).split())
        raise ExecutorError(f"--slurm: expected options of sbatch, found one that is none: {told}") from None
    return executor


def _submitted(executor: submitit.AutoExecutor, measure: Any, work: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Submit one job for each piece of work, as an array."""
    return executor.map_array(measure, *map(list, zip(*work, strict=True)))


def _wait(found: Sequence[Any], progress: Progress, places: Sequence[Path], total: int, look_s: float) -> None:
    """Wait for the jobs, and report how many rows they have written."""
    began, before = time.monotonic(), _rows(places)
    while True:
        ended = sum(job.done() for job in found)
        rows = _rows(places)
        rate = (rows - before) / max(time.monotonic() - began, look_s)
        left_s = (total - rows) / rate if rate else None
        progress.working("time", f"{ended} of {len(found)} jobs have ended", min(rows, total), total, left_s)
        if ended == len(found):
            return
        time.sleep(look_s)


def _rows(places: Sequence[Path]) -> int:
    """Return how many rows the runs of some folders have."""
    files = (place / reading.SAMPLES for place in places)
    return sum(file.read_bytes().count(b"\n") for file in files if file.exists())


def _refuse_failed(found: Sequence[Any]) -> None:
    """Raise if a job failed.

    Raises:
        ExecutorError: one did; what others finished is kept.
    """
    failed = [(job, error) for job in found if (error := job.exception()) is not None]
    if failed:
        lines = [
            f"  job {job.job_id}: {str(error).strip().splitlines()[-1]} ({job.paths.stderr})" for job, error in failed
        ]
        told = "expected every job to end, found failed ones; the same command again continues them:"
        raise ExecutorError("\n".join([told, *lines]))
