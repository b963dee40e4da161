"""Report of a run, rebuilt from its data files only."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attnbench.reports import figures
from attnbench.reports.data.files import put
from attnbench.reports.data.parts import Part, differing
from attnbench.reports.findings.run import Run
from attnbench.reports.pages import profile
from attnbench.reports.tables import lra, tables
from attnbench.reports.text import escape, first_screen, outcomes, units
from attnbench.reports.text.answer import answer

_HOW_TO_READ = """\
- **Calls per second**: one over the time of one call. A process gives one number for a case, the {estimate} of its
  values. The time is the geometric mean over processes, and digits end where its 95 % interval begins.
- **Intervals** are Student t over processes on the log scale; below 3 processes there are none.
- **Speed-up**: the baseline's time over the case's at the same shape, dtype, device, direction and threads, paired by
  process.
- **Peak memory**: the most that the allocator held during one call, inputs apart.
- **Energy** of a call: what the counter of the CPU's packages, or of the GPU, adds up over calls in a row, without what
  the idle device takes. The packages hold all that runs on the machine. **-**: the counter is too coarse.
- **Growth**: the exponent k of N^k, fitted over the longest three octaves measured.
- **Stated cost**: the exponent of the FLOPs over the last two octaves. Time grows more slowly if fixed costs of a call
  count at the shorter lengths, and faster if softmax, sorting or memory traffic take more of it.
- **Tokens/s**: tokens of a call (the whole batch) over its time.
- **Ties**: rows in which a mechanism could as well have chosen another key or block, within rounding.
- **Fits up to N**: the longest sequence for which inputs, weights, masks and the peak fit the memory budget, estimated
  from predictions or else from what was measured.
- **Keys per query**: allowed pairs over queries, a mean. **Density**: its share of the length. What is said of them is
  interpolated between the numbers of keys measured, on the log scale.
- **Faster**: the whole interval of the speed-up is above 1. **From N**: interpolated between the lengths measured; it
  stays faster up to the longest length that both have.
- **Waste**: pairs of query and key that were computed over pairs that the pattern allows.
- **GFLOP/s** counts the allowed pairs only. **Of roof**: its share of the fastest matrix product seen beside the case.
- **Bound**: the baseline's allowed pairs over the case's, the speed-up if time followed work. **Realised**: the
  measured speed-up as a share of it.
- **Before the first value**, once: preparation builds masks and layouts, which hold so many bytes; compilation is what
  the first call takes beyond a later one, *cached* if torch had it on disk. No time of a call includes it.
- **Error**: the largest difference of an output from a float64 reference, over all lengths checked.
- **Error vs full**: the distance of the mechanism's output from that of full attention, as a share of its size, on
  {inputs}. **Of the mean**: that of the mean of all values in its place. **Better**: less than 95 % of it.
- **Proved**: every element of the output and the gradients is held to that reference before a case is timed, and the
  last result of each process to the proved one. Where there is too much to look at, a line at the top says so.
- **Flags** mark cases whose numbers are doubtful; nothing is left out for it. **Trust**: the gravest doubt.
- **n/a**: unsupported. **skipped**: not tried. An empty cell: not in the suite. **-**: no such number, because the
  mechanism has no pattern, FLOPs, choice or compilation."""


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
        *(["## Long Range Arena", lra.markdown(run)] if run.arenas else []),
        *([profile.section(run)] if run.profiles else []),
        "## How to read this",
        _HOW_TO_READ.format(estimate=run.estimate.replace("quartile", "lower quartile"), inputs=_inputs(run)),
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


def _inputs(run: Run) -> str:
    """Return what the errors against full attention were computed on."""
    file = run.meta.get("inputs")
    return f"the inputs of {escape.text(file['file'])}" if file else "inputs in which neighbours are alike"


def _parts(run: Run) -> list[str]:
    """Return when a run was resumed or merged, what had changed since its start, and which machines it mixes."""
    later = [_part(part) for part in run.parts[1:]]
    facts = differing(run.parts)
    if not facts:
        return later
    header = ["part", *(escape.text(name) for name in facts)]
    rows = [[str(part.index), *map(_value, values)] for part, *values in zip(run.parts, *facts.values(), strict=True)]
    words = "Parts ran on different machines or code, and their times are not compared. These facts differ:"
    return [*later, words, escape.table(header, rows, "l" * len(header))]


def _part(part: Part) -> str:
    """Return when and how a later part of a run was measured."""
    told = [f"{name} was {escape.plain(was)}, then {escape.plain(now)}" for name, (was, now) in part.changed.items()]
    how = f"Part {part.index} is a merged run, started" if part.merged else "Resumed"
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
