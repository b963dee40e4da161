"""Report of a run, rebuilt from its data files only."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attnbench.reports import figures
from attnbench.reports.data.files import put
from attnbench.reports.data.parts import Part, differing
from attnbench.reports.findings.run import Run
from attnbench.reports.pages import profile, reading
from attnbench.reports.tables import hardware, learned, lra, tables
from attnbench.reports.text import escape, first_screen, outcomes, units
from attnbench.reports.text.answer import answer
from attnbench.reports.text.phrases import change


def write(run: Run) -> Path:
    """Write `table.csv`, `table.md`, `figures/` and `report.md` into the run's folder, and return the report's path.

    If the run trains encoders at lengths of Long Range Arena, write `table_lra.md` too, and if it was profiled
    `operators.csv` and `operators.md`.

    Raises:
        RunError: its profiles cannot be read.
    """
    folder = run.folder
    markdown = tables.markdown(run)
    put(folder / "table.csv", tables.csv(run.frame))
    put(folder / "table.md", markdown)
    figures.write(run, folder)
    if run.arenas:
        put(folder / "table_lra.md", lra.markdown(run) + "\n")
    if run.profiles:
        profile.write_tables(run.profiles, folder)
    return put(folder / "report.md", report(run, markdown))


def report(run: Run, markdown: str) -> str:
    """Return the report as Markdown; `markdown` holds its tables."""
    meta = run.meta
    parts = [
        f"# {escape.text(meta['name'])}",
        f"**{escape.text(meta['question'], longest=None)}**",
        *unfinished(run),
        "\n".join(f"- {escape.text(each, longest=None)}" for each in answer(run)),
        *_first_screen(run),
        *(escape.text(line, longest=None) for line in outcomes.lines(run.outcomes)),
        "## Figures",
        *(f"![{name}](figures/{name}.svg)\n\n{each.READING}" for name, each in figures.of(run).items() if each.READING),
        "## Tables",
        markdown.rstrip("\n"),
        *(["## Hardware", hardware.markdown(run)] if run.by_hardware or run.between_machines else []),
        *(["## Scores", learned.markdown(run)] if run.learned else []),
        *(["## Long Range Arena", lra.markdown(run)] if run.arenas else []),
        *([profile.section(run)] if run.profiles else []),
        "## How to read this",
        reading.section(run, markdown),
        "## Environment",
        _environment(meta["environment"]),
        f"Started {escape.text(meta.get('started'))}, finished {escape.text(meta.get('finished') or 'not')}.",
        *_revision(meta),
        *_parts(run),
        *filter(None, [outcomes.price(run.outcomes)]),
        "## Commands" if len(run.parts) > 1 else "## Command",
        escape.fenced("\n".join(escape.plain(each, None) for each in run.commands), "sh"),
        "## Suite",
        escape.fenced(meta["source"] or json.dumps(meta["suite"], indent=1), "yaml"),
    ]
    return "\n\n".join(parts) + "\n"


def _first_screen(run: Run) -> list[str]:
    """Return the table of the first screen with what it is about above it; nothing if no case passed."""
    found = first_screen.table(run)
    if not found.rows:
        return []
    header, *rows = ([escape.text(each) for each in line] for line in (found.header, *found.rows))
    return [f"{escape.text(first_screen.caption(run))}:", escape.table(header, rows, "ll")]


def unfinished(run: Run) -> list[str]:
    """Return a warning if the run is not finished."""
    if run.meta.get("finished"):
        return []
    found = run.outcomes
    return [f"This run is not finished: {found.with_result} of {found.cases} cases have a result."]


def _parts(run: Run) -> list[str]:
    """Return when a run was resumed or merged, what had changed since its start, and which machines it mixes."""
    later = [_part(part) for part in run.parts[1:]]
    facts = differing(run.parts)
    if not facts:
        return later
    header = ["part", *(escape.text(name) for name in facts)]
    rows = [[str(part.index), *map(_value, values)] for part, *values in zip(run.parts, *facts.values(), strict=True)]
    words = "Parts ran on different machines or code, and their times are not compared. These facts differ:"
    if any(part.node for part in run.parts):
        words = "Each case was timed on machines of one class of hardware. These facts of machines differ:"
    return [*later, words, escape.table(header, rows, "l" * len(header))]


def _part(part: Part) -> str:
    """Return when and how a later part of a run was measured."""
    told = [change(name, was, now) for name, (was, now) in part.changed.items()]
    how = f"Part {part.index} is a merged run, started" if part.merged else "Resumed"
    how = f"Part {part.index} is the machine {part.node}, from" if part.node else how
    shard = f" (shard {part.shard})" if part.shard else ""
    processes = f"{part.processes} {'process' if part.processes == 1 else 'processes'}"
    words = f"{how} {part.started}{shard}: {processes} in all."
    return escape.text(f"{words} Changed since: {'; '.join(told)}." if told else words, longest=None)


def _revision(meta: Mapping[str, Any]) -> list[str]:
    """Return the commit of the project in which the run was started, if it was one."""
    found = meta.get("revision")
    return [f"Revision {escape.text(found['commit'])} of {escape.text(found['date'])}."] if found else []


def _value(value: object) -> str:
    return "-" if value is None else escape.text(value)


def _environment(environment: dict[str, Any]) -> str:
    """Return the environment of the measurement as a table."""
    rows = []
    for name, value in environment.items():
        told = units.size(value) if name.endswith("_bytes") and isinstance(value, int) else value
        rows.append([escape.text(name), _value(told)])
    return escape.table(["", "value"], rows, "ll")
