"""Functions that write a comparison: `comparison.md`, `comparison.csv`, `comparison.json` and figures."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from attnbench.reports.compare import between_revisions, forms, tables
from attnbench.reports.compare.answer import answer, counted, notes
from attnbench.reports.compare.comparison import Comparison
from attnbench.reports.compare.figures import overlay, ratios
from attnbench.reports.compare.gate import held
from attnbench.reports.data.files import put
from attnbench.reports.drawing import saving
from attnbench.reports.text import escape, units
from attnbench.suites.schema.limits import METRICS as LIMITED
from attnbench.suites.schema.limits import Check

_HOW_TO_READ = """\
- **Ratio**: {ratio}, with its 95 % interval; above 1 is slower.
- **Detectable**: the smallest slow-down that would have been found with a power of 80 %: an `unchanged` beside 20 %
  says little.
- **regressed, improved**: shown to differ, and estimated to by {floor} at least. **unchanged**: its whole
  interval is within {equivalence} of no change. **inconclusive**: neither. **unstable**: a difference, but a run is
  flagged bimodal, drifting or throttled there.
- **error**: passed in A and not in B, or new in B and at fault. **missing**, **new**: only in A, only in B.
  **incomparable**: not to be compared.
- **Memory** is the allocator's peak, exact for the same torch, instruction set and threads. **Work** is the pairs that
  are allowed and computed. **Error** is that against the oracle; it may double before it counts."""


def write(comparison: Comparison, folder: Path, source: str = "") -> Path:
    """Write all files and return the path of `comparison.md`; `source` is the command that made the comparison."""
    drawn = {"ratios": partial(ratios, comparison)}
    if comparison.after is not None and not comparison.disjoint:
        drawn["overlay"] = partial(overlay, comparison, comparison.after)
    saving.save(drawn, folder)
    put(folder / "comparison.csv", tables.csv(comparison))
    put(folder / "comparison.json", tables.as_json(comparison))
    return put(folder / "comparison.md", page(comparison, list(drawn), source))


def rebuilt(folder: Path) -> tuple[Comparison, str]:
    """Return the comparison of a `bench ab` folder, from its rows alone, and the command that made it.

    Raises:
        RunError: the rows are missing or cannot be read.
    """
    asked, comparison = between_revisions.asked(folder), between_revisions.load(folder)
    policies = asked.policy.by_case({case.key: case for case, _ in asked.cases})
    return held(comparison, policies), asked.command


def page(comparison: Comparison, drawn: Sequence[str], source: str = "") -> str:
    """Return the page as Markdown, with the figures in `drawn`; `source` as in `write`."""
    parts = [
        f"# {escape.text(comparison.title, longest=None)}",
        escape.text(forms.headline(comparison), longest=None),
        _bullets(answer(comparison)),
        tables.first_markdown(comparison) if len(comparison.shown) else "",
        *(f"![{name}](figures/{name}.svg)" for name in drawn),
        *findings(comparison),
        *(["## All cases", tables.markdown(comparison)] if len(comparison.shown) else []),
        *explained(comparison),
        *_machines(comparison.what_differs, comparison.differences),
        *(["## Command", escape.fenced(source, "sh")] if source else []),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def findings(comparison: Comparison, most: int | None = None) -> list[str]:
    """Return the section of the findings, at most so many if `most` is given; nothing if there are none."""
    return ["## Findings", forms.bullets(comparison, most)] if comparison.findings else []


def explained(comparison: Comparison) -> list[str]:
    """Return the sections on verdicts, method, words and limits."""
    floors = comparison.frame["limit"] if comparison.judged_by_limit else [comparison.rule.floor]
    floor, equivalence = (_one(each) for each in (floors, comparison.margins))
    return [
        "## Verdicts",
        escape.table(["", "cases"], counted(comparison), "ll"),
        "## How times were compared",
        _bullets(notes(comparison)),
        "## How to read this",
        _HOW_TO_READ.format(ratio=comparison.ratio, floor=floor, equivalence=equivalence),
        *_limits(comparison.policies),
    ]


def _bullets(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {escape.text(each, longest=None)}" for each in sentences)


def _one(shares: Iterable[float]) -> str:
    """Write the share that all cases have; if they differ, name it."""
    told = dict.fromkeys(map(units.change, shares))
    return next(iter(told)) if len(told) == 1 else "the limit of the case"


def _limits(policies: Mapping[str, Check] | None) -> list[str]:
    """Return a section with the limits of each metric, and how many cases have them; nothing without a policy."""
    if policies is None:
        return []
    counted = Counter(policies.values()).most_common()
    rows = [[f"{count:,}", *(str(policy.limit(name)) for name in LIMITED)] for policy, count in counted]
    return ["## Limits", escape.table(["cases", *LIMITED], rows, "rlllll")]


def _machines(what: str, differences: Mapping[str, tuple[Any, Any]]) -> list[str]:
    """Return a section with a table of differences between the machines or runs; nothing if there are none."""
    if not differences:
        return []
    rows = [[escape.text(name), escape.text(a), escape.text(b)] for name, (a, b) in differences.items()]
    title = f"## The {what} differ"
    return [title, escape.table(["", "A", "B"], rows, "lll")]
