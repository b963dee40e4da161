"""Citation of a run as BibTeX, with a hash of its data."""

import hashlib
import re
from datetime import datetime
from pathlib import Path

from attnbench.reports.data.reading import PROFILE, RUN, SAMPLES
from attnbench.reports.findings.run import Run
from attnbench.reports.text import latex
from attnbench.reports.text.context import machines
from attnbench.reports.text.phrases import listed


def files(folder: Path) -> list[str]:
    """Return the names of a run's data files, in the order in which they are hashed."""
    return [name for name in (RUN, SAMPLES, PROFILE) if (folder / name).is_file()]


def sha256(folder: Path) -> str:
    """Return the hash of a run's data files, one after the other, as `cat FILE... | sha256sum` gives it."""
    found = hashlib.sha256()
    for name in files(folder):
        found.update((folder / name).read_bytes())
    return found.hexdigest()


def bibtex(run: Run) -> str:
    """Return a BibTeX entry for a run: what it asks, when and on what it was measured, and the hash of its data."""
    meta, environment = run.meta, run.meta["environment"]
    version = f"attnbench {environment.get('attnbench', '')}".rstrip()
    commit = environment.get("commit")
    day = _day(meta.get("started"))
    machine = machines(run, "gpu") or machines(run, "cpu") or "an unknown machine"
    measured = " ".join(["Measured", *([f"{day:%Y-%m-%d}"] if day else []), "on", machine])
    note = f"{latex.text(measured)}. SHA-256 of {listed(files(run.folder))}: {sha256(run.folder)}"
    fields = {
        "title": f"{{{latex.text(meta['name'])}}}: {latex.text(meta['question'])}",
        "howpublished": latex.text(f"{version}, commit {commit}" if commit else version),
        **({"year": str(day.year)} if day else {}),
        "note": note,
    }
    name = re.sub(r"[^0-9A-Za-z]+", "-", str(meta["name"])).strip("-")
    key = "-".join(filter(None, ["attnbench", name, str(day.year) if day else ""]))
    lines = [f"  {field:<12} = {{{value}}}," for field, value in fields.items()]
    return "\n".join([f"@misc{{{key},", *lines, "}"])


def _day(started: object) -> datetime | None:
    """Return when a run started; None if it does not say so as expected."""
    try:
        return datetime.fromisoformat(str(started))
    except ValueError:
        return None
