"""Measurement: workers, timing, memory, correctness, run folders and the command line. From Python, use `run`."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from attnbench.reports.findings.run import Run
    from attnbench.runner.execution.progress import Progress
    from attnbench.suites import Case
    from attnbench.suites.schema.suite import Suite


def run(
    suite: "Suite",
    folder: "Path | str | None" = None,
    *,
    cases: "Sequence[Case] | None" = None,
    progress: "Progress | None" = None,
    report: bool = True,
) -> "Run":
    """Measure a suite as `bench run` does, and return the run: `run(suite).frame` is the table, one row per case.

    The run is written to `folder`, by default `runs/NAME-DATE-TIME`, with a report unless `report` is false;
    `attnbench.reports.load` reads it again. `cases` selects the cases to measure, by default all. `progress` receives
    progress events; by default it prints one line per case on stderr, or a bar on a terminal. Variants of folders added
    with `attnbench.variants.extend` are available. `if __name__ == "__main__":` is not needed. After an interruption
    the folder holds every finished unit.

    Raises:
        FolderError: the folder is in use, is not empty, or cannot be written.
    """
    import sys
    from pathlib import Path

    from attnbench import variants
    from attnbench.reports import load
    from attnbench.reports.html import page
    from attnbench.reports.pages import run_report
    from attnbench.runner.execution import engine
    from attnbench.runner.execution.journal import new_folder
    from attnbench.runner.execution.progress import choose

    where = new_folder(suite.name) if folder is None else Path(folder)
    display = choose(quiet=False) if progress is None else progress
    added = tuple(map(Path, [*variants.__path__][1:]))
    try:
        engine.run(suite, where, display, cases=cases, command=["python", *sys.argv], folders=added)
    finally:
        display.close()
    found = load(where)
    if report:
        page.write(found, run_report.write(found))
    return found
