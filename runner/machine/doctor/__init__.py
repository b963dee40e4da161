"""Checks for what makes timings on this machine worse, with advice.

They read files, psutil and NVML, need no special rights and change nothing. Most CPU checks read Linux files; on other
systems they report what they cannot read.
"""

import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from attnbench.runner.machine.doctor import cpu, energy, gpu, limits, load, machine, memory
from attnbench.runner.machine.doctor.finding import LEVELS
from attnbench.runner.machine.doctor.finding import Finding as Finding

_WIDTH = 110
_NO_BREAK_SPACE = "\u00a0"


def examine(root: Path = Path("/")) -> list[Finding]:
    """Check this machine, which takes about a second. The worst findings come first.

    Files are read below `root`; tests use another folder.
    """
    here = machine.here(root)
    seen = load.watch(here)
    found = [check.finding(seen) for check in load.CHECKS]
    for checks in (limits.CHECKS, cpu.CHECKS, memory.CHECKS, energy.CHECKS):
        found += [check.finding(here) for check in checks]
    return sorted(found + gpu.findings(), key=lambda finding: LEVELS.index(finding.level))


def text(findings: Sequence[Finding]) -> str:
    """Return the findings as lines: level, name and what was found, followed by reason and advice, if any."""
    counts = Counter(finding.level for finding in findings)
    summary = ", ".join(f"{counts[level]} {level}" for level in LEVELS if counts[level])
    name_width = max((len(finding.name) for finding in findings), default=0)
    return "\n".join([summary or "nothing was looked at", *(_entry(finding, name_width) for finding in findings)])


def to_json(findings: Sequence[Finding]) -> list[dict[str, str]]:
    """Return the findings as plain objects, for `bench doctor --json`."""
    return [asdict(finding) for finding in findings]


def _entry(finding: Finding, name_width: int) -> str:
    """Return the lines of one finding."""
    indent = " " * (len("warning") + 2 + name_width + 2)
    lines = [_line(f"{finding.level:7}  {finding.name:{name_width}}  ", finding.found, indent)]
    if finding.level in ("unfit", "bad", "warning"):
        lines.append(_line(indent + "why: ", finding.why, indent + " " * 5))
    if finding.do:
        lines.append(_line(indent + "do:  ", finding.do, indent + " " * 5))
    return "\n".join(lines)


def _line(start: str, sentence: str, indent: str) -> str:
    """Wrap a sentence, but never inside a command between backticks."""
    parts = sentence.split("`")
    whole = "`".join(part.replace(" ", _NO_BREAK_SPACE) if i % 2 else part for i, part in enumerate(parts))
    broken = textwrap.fill(
        whole,
        _WIDTH,
        initial_indent=start,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return broken.replace(_NO_BREAK_SPACE, " ")
