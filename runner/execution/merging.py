"""Merging: runs of one suite that were measured in parts become one run."""

import json
import os
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from attnbench.reports.data import reading
from attnbench.reports.data.parts import Part, parts
from attnbench.reports.data.reading import PROFILE, RUN, SAMPLES, Journal
from attnbench.runner.execution import hardware, journal, resuming
from attnbench.runner.execution.hardware import Read
from attnbench.runner.execution.journal import EDGES, FolderError
from attnbench.runner.execution.profiler import TRACES
from attnbench.runner.execution.resuming import Stopped
from attnbench.suites import Case, Probe, Sample, Status, fingerprint
from attnbench.suites.profile import Profile
from attnbench.variants import ONE_CLASS

Differences = Mapping[str, tuple[Any, Any]]


@dataclass(frozen=True)
class _Piece:
    """A run that is merged."""

    folder: Path
    run: Stopped
    journal: Journal
    """Its rows, with the parts and replicates that they get in the merged run."""
    parts: tuple[Part, ...]
    """Its own parts."""
    first_part: int
    """The number that its first part gets."""
    processes: int
    """The number of processes that a case of the merged run has once the piece is in it."""
    keys: Mapping[str, str]
    """The key of each case in its folder and in the merged run, if they differ."""

    @property
    def samples(self) -> list[Sample]:
        """Its samples, except those of baselines that were timed again."""
        return [sample for each in self.journal.samples.values() for sample in each.values()]

    @property
    def times(self) -> set[tuple[str, tuple[float, ...]]]:
        """The times of its samples, each with its case."""
        return {(sample.case, sample.values_ns) for sample in self.samples if sample.values_ns}

    @property
    def machines(self) -> dict[object, dict[int, Mapping[str, Any]]]:
        """For each sweep over lengths, the parts that measured it, with their environments."""
        sweeps = {case.key: case.sweep for case in self.run.cases}
        found: dict[object, dict[int, Mapping[str, Any]]] = {}
        rows: list[Probe | Sample] = [*self.journal.probes.values(), *self.samples]
        for row in rows:
            if resuming.was_tried(row):
                environment = self.parts[row.part - self.first_part].environment
                found.setdefault(sweeps[row.case], {})[row.part] = environment
        return found


def merge(folders: Sequence[Path], out: Path, command: Sequence[str] = ()) -> None:
    """Write one run from several into the folder `out`, which is new or empty. It appears there whole or not at all.

    Each part of a run becomes a part of the merged run, with its machine and its time. If two runs measured a case on
    one machine, its processes add up; of two probes, the first that did not pass counts, or else the first. If runs
    measured a sweep over lengths on several classes of hardware, each case is one of its class.

    Raises:
        FolderError: the runs cannot be one, or `out` cannot be used.
        RunError: a run cannot be read.
        SuiteError: the file of one of its variants is broken.
    """
    pieces: list[_Piece] = []
    for found in hardware.apart([Read(folder, resuming.read(folder), reading.read(folder), {}) for folder in folders]):
        piece = _piece(found, pieces)
        for other in pieces:
            _refuse(other, piece)
        pieces.append(piece)
    _write(out.absolute(), pieces, _meta(pieces, command))


def _piece(found: Read, before: Sequence[_Piece]) -> _Piece:
    """Return a run as a piece that follows others."""
    run, told = found.run, found.journal
    own = parts(run.meta)
    first_part = sum(len(each.parts) for each in before)
    taken = {_unit(sample) for each in before for sample in each.samples if resuming.was_tried(sample)}
    collides = any((key, replicate) in taken for key, each in run.kept.samples.items() for replicate in each)
    shift = max(each.processes for each in before) if collides else 0

    def moved(sample: Sample) -> Sample:
        return replace(sample, replicate=sample.replicate + shift, part=sample.part + first_part)

    moved_rows = replace(
        told,
        probes={key: replace(probe, part=probe.part + first_part) for key, probe in told.probes.items()},
        samples={
            key: {sample.replicate + shift: moved(sample) for sample in each.values()}
            for key, each in told.samples.items()
        },
        again=tuple(map(moved, told.again)),
    )
    processes = max([shift + max(run.processes, run.begun), *(each.processes for each in before)])
    return _Piece(found.folder, run, moved_rows, own, first_part, processes, found.keys)


def _refuse(a: _Piece, b: _Piece) -> None:
    """Raise if two runs cannot be parts of one.

    Raises:
        FolderError: they have different suites or code, measured a sweep on different machines, or share times.
    """
    suite = b.run.suite.with_processes(a.run.suite.measure.processes)
    found = resuming.differences(a.run.suite.to_json(), suite.to_json())
    told = {f"suite.{name}": pair for name, pair in found.items()}
    found = resuming.differences(a.run.meta.get("inputs"), b.run.meta.get("inputs"))
    told |= {f"inputs.{name}": pair for name, pair in found.items()}
    for one in a.parts:
        for other in b.parts:
            changed = fingerprint.changed(one.environment, other.environment)
            told |= {f"environment.{name}": pair for name, pair in changed.items() if name in fingerprint.CODE}
    if told:
        raise _apart(a, b, "expected runs of one suite by one version of the code, found", told)
    there = a.machines
    for sweep, measured in b.machines.items():
        for theirs in measured.values():
            for ours in there.get(sweep, {}).values():
                changed = fingerprint.changed(ours, theirs)
                if changed:
                    (title, *_) = [case.title for case in b.run.cases if case.sweep == sweep]
                    words = (
                        "expected each sweep over lengths on one machine, because times of different machines are not "
                        f"compared, found that of {title} on two"
                    )
                    raise _apart(a, b, words, {f"environment.{name}": pair for name, pair in changed.items()})
    if a.times & b.times:
        raise FolderError(f"{a.folder} and {b.folder}: expected different runs, found the same times; leave one out")


def _apart(a: _Piece, b: _Piece, words: str, told: Differences) -> FolderError:
    """Return the error that two runs differ."""
    lines = [f"  {name}: {was!r} in {a.folder}, {now!r} in {b.folder}" for name, (was, now) in told.items()]
    return FolderError("\n".join([f"{a.folder} and {b.folder}: {words}:", *lines]))


def _meta(pieces: Sequence[_Piece], command: Sequence[str]) -> dict[str, Any]:
    """Return the content of `run.json`."""
    first = pieces[0]
    metas = [each.run.meta for each in pieces]
    finished: list[str] = [meta.get("finished") or "" for meta in metas]
    planned: dict[str, Mapping[str, Any]] = {}
    for piece in pieces:
        for row in piece.run.meta["cases"]:
            later = {"part": row["part"] + piece.first_part} if row.get("part") else {}
            planned.setdefault(row["key"], {**row, **later})
    order = {case.key: place for place, case in enumerate(first.run.suite.cases())}

    def place(row: Mapping[str, Any]) -> tuple[str, int]:
        """Return where a case comes: by its class of hardware, then as in the suite."""
        case = Case.from_json(row)
        return case.setting.hardware, order.get(case.changed(hardware=ONE_CLASS).key, len(order))

    patterns = {(each["label"], each.get("seq_len")): each for meta in metas for each in meta["patterns"]}
    return {
        **first.run.meta,
        "format": max(meta["format"] for meta in metas),
        "finished": max(finished) if all(finished) else None,
        "first_finished": first.parts[0].finished,
        "budget_bytes": min(meta["budget_bytes"] for meta in metas),
        "profile": any(meta.get("profile") for meta in metas),
        # A case that the suite lacks, because its run was resumed with another, comes last.
        "cases": sorted(planned.values(), key=place),
        "patterns": list(patterns.values()),
        "resumed": [_later(part, piece, first) for piece in pieces for part in piece.parts][1:],
        "merged": {"command": shlex.join(command), "at": journal.utc()},
    }


def _later(part: Part, piece: _Piece, first: _Piece) -> dict[str, Any]:
    """Return a part of a piece as an entry of `resumed`."""
    machine = fingerprint.changed(first.parts[0].environment, part.environment)
    changed = {name: pair for name, pair in part.changed.items() if not name.startswith("environment.")}
    changed |= {f"environment.{name}": pair for name, pair in machine.items()}
    return {
        "started": part.started,
        "finished": part.finished,
        "command": part.command,
        "processes": piece.processes,
        "environment": part.environment,
        "changed": {name: list(pair) for name, pair in changed.items()},
        **({"shard": part.shard} if part.shard else {}),
        "merged": part.merged or (part.index == 0 and piece is not first),
    }


def _rows(pieces: Sequence[_Piece]) -> Iterator[Probe | Sample]:
    """Yield the rows of the merged run: one probe for each case, then all samples."""
    probes: dict[str, list[Probe]] = {}
    samples: dict[tuple[str, int], Sample] = {}
    for piece in pieces:
        for key, probe in piece.journal.probes.items():
            probes.setdefault(key, []).append(probe)
        for sample in piece.samples:
            # What was not tried in one run may have been in another.
            if _unit(sample) not in samples or not resuming.was_tried(samples[_unit(sample)]):
                samples[_unit(sample)] = sample
    for told in probes.values():
        tried = [*filter(resuming.was_tried, told)] or told
        yield next((each for each in tried if each.status is not Status.PASSED), tried[0])
    yield from samples.values()
    for piece in pieces:
        yield from piece.journal.again


def _unit(sample: Sample) -> tuple[str, int]:
    return sample.case, sample.replicate


def _profiles(pieces: Sequence[_Piece]) -> list[Profile]:
    """Return the profiles of the runs; of two of a case, the first."""
    found: dict[str, Profile] = {}
    for piece in pieces:
        own = reading.profiles(piece.folder).values()
        own_by_key = {key: replace(each, case=key) for each in own for key in [piece.keys.get(each.case, each.case)]}
        found = {**own_by_key, **found}
    return list(found.values())


def _write(out: Path, pieces: Sequence[_Piece], meta: Mapping[str, Any]) -> None:
    """Write the run into a folder beside `out`, and then rename that in one step.

    Raises:
        FolderError: `out` is not empty or cannot be written, or another merge writes it.
    """
    draft = out.with_name(f".{out.name}.merging")
    try:
        if out.exists() and any(out.iterdir()):
            raise FolderError(f"{out}: expected a new or empty folder, found files in it; name another")
        draft.mkdir(parents=True, exist_ok=True)
        with journal.alone(draft / SAMPLES, "ab") as samples:
            _clear(draft)
            samples.truncate(0)
            journal.append(samples, _lines(_rows(pieces)))
            profiles = _profiles(pieces)
            if profiles:
                _put(draft / PROFILE, _lines(profiles))
            for piece in reversed(pieces):
                for name in (EDGES, TRACES):
                    if (piece.folder / name).is_dir():
                        shutil.copytree(piece.folder / name, draft / name, dirs_exist_ok=True)
            _put(draft / RUN, json.dumps(meta, indent=1) + "\n")
            draft.replace(out)
    except (OSError, shutil.Error) as error:
        raise FolderError(f"{out}: cannot be written: {getattr(error, 'strerror', None) or error}") from error


def _clear(draft: Path) -> None:
    """Remove what a merge left that was killed."""
    for path in draft.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != SAMPLES:
            path.unlink()


def _lines(rows: "Iterator[Probe | Sample] | Sequence[Profile]") -> str:
    return "".join(json.dumps(row.to_json(), separators=(",", ":")) + "\n" for row in rows)


def _put(path: Path, text: str) -> None:
    """Write a file and wait until it is on disk."""
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
