"""Formats of a comparison for other programs: GitHub summaries, annotations and comments, and JUnit.

The limits are GitHub's. It refuses a step summary above 1 MiB, shows ten annotations of each kind per step, and a
comment holds 65,536 characters.
"""

import re
from collections.abc import Callable, Mapping
from xml.etree import ElementTree

import pandas as pd

from attnbench.reports.compare import cells, tables
from attnbench.reports.compare.answer import answer, nothing, undecided
from attnbench.reports.compare.comparison import METRICS, Comparison, Finding
from attnbench.reports.decision.rule import COMPARED, Verdict
from attnbench.reports.text import escape, units

MOST_ANNOTATIONS = 10
SUMMARY_BYTES = 2**20
COMMENT_CHARACTERS = 65_536
_DECIDED = (Verdict.REGRESSED, Verdict.IMPROVED, Verdict.UNCHANGED)
_UNREADABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]|[\ud800-\udfff]")


def marker(comparison: Comparison) -> str:
    """Return the first line of a comment: `<!-- attnbench: ci -->`.

    The next comment on the same suite finds the old one by it and replaces it. Those on other suites stay.
    """
    named = re.sub(r"[^\w. -]", "-", comparison.suite)
    return f"<!-- attnbench: {named} -->" if named else "<!-- attnbench -->"


def headline(comparison: Comparison) -> str:
    """Count the findings, `2 findings that fail, 1 that warns.`, and say how small a slow-down could be seen."""
    fine = [] if comparison.findings is None else ["Nothing is shown to be worse than allowed."]
    told = [*doubts(comparison), *([_counted(comparison)] if comparison.findings else [])] or fine
    untimed = comparison.compared and not comparison.frame["verdict"].isin(COMPARED).any()
    return " ".join([*told, *(["No time was compared."] if untimed else sight(comparison))])


def sight(comparison: Comparison) -> list[str]:
    """Return a sentence on the smallest slow-down that would have been found, or nothing if there is none."""
    median, worst = (units.change(each) for each in (comparison.median_detectable, comparison.worst_detectable))
    if not median or comparison.too_noisy:
        return []
    where = "" if median == worst else f" in the median case, and of {worst} in the worst"
    return [f"A slow-down of {median} would have been found{where}."]


def doubts(comparison: Comparison) -> list[str]:
    """Return the reasons why something may be worse even without findings."""
    return [
        *([comparison.cut] if comparison.cut else []),
        *nothing(comparison),
        *([f"Too noisy: the same code differed by {comparison.noise:.1%}."] if comparison.too_noisy else []),
        *([f"Too noisy: {undecided(comparison)}."] if comparison.blind.any() else []),
    ]


def _counted(comparison: Comparison) -> str:
    fails = len(comparison.failing)
    warns = len(comparison.findings or ()) - fails
    failing = "1 finding that fails" if fails == 1 else f"{fails} findings that fail"
    return f"{failing}, {warns} that warn{'s' if warns == 1 else ''}."


def bullets(comparison: Comparison, most: int | None = None) -> str:
    """Return the findings as a Markdown list; with `most`, at most so many and the number of others."""
    found = comparison.findings or ()
    shown = found[:most]
    lines = [f"- **{each.severity}** {escape.text(each.title)}: {escape.text(each.words)}" for each in shown]
    left_out = len(found) - len(shown)
    return "\n".join([*lines, *([f"- and {left_out} more"] if left_out else [])])


def annotations(comparison: Comparison) -> str:
    """Return at most ten workflow commands: a warning per doubt, then an error or a warning per finding."""
    told = [("warning", "attnbench", each) for each in doubts(comparison)]
    for each in comparison.findings or ():
        kind = "error" if each.severity == "fail" else "warning"
        told.append((kind, _kind(each), f"{each.title}: {each.told}"))
    lines = [f"::{kind} title={_property(title)}::{_message(text)}" for kind, title, text in told]
    return "".join(f"{line}\n" for line in lines[:MOST_ANNOTATIONS])


def _kind(finding: Finding) -> str:
    """Name a finding: `time regressed`, or that a case is lost."""
    return "case lost" if finding.metric == "ended" else f"{finding.metric} {finding.verdict}"


def summary(comparison: Comparison) -> str:
    """Return a step summary in words and as a table, shortened to GitHub's limit."""
    return _fitting(comparison, lambda text: len(text.encode()) < SUMMARY_BYTES)


def comment(comparison: Comparison) -> str:
    """Return the body of a comment on a pull request, with its marker, shortened to GitHub's limit."""
    first = f"{marker(comparison)}\n"
    return _fitting(comparison, lambda text: len(first + text) < COMMENT_CHARACTERS, first)


def junit(comparison: Comparison) -> str:
    """Return JUnit XML with a test for each metric of each case, in a class for each metric.

    A finding that fails the check is a failure, and a lost case an error of its time. What was not compared, or is not
    decided, is skipped. Tests say in their output what was found. Metrics that the policy ignores, and operators if
    nothing was profiled, have no tests.
    """
    failing = {(each.case, each.metric): each for each in comparison.failing}
    metrics = ["time", *(name for name in METRICS if name != "operators" or comparison.profiled)]
    suite = ElementTree.Element("testsuite", {"name": "attnbench"})
    for metric in metrics:
        for _, row in comparison.worst_first.iterrows():
            if comparison.severity(row["case"], metric) != "ignore":
                _test(suite, row, metric, comparison, failing)
    counted = {"failures": "failure", "errors": "error", "skipped": "skipped"}
    suite.set("tests", str(len(suite)))
    for name, tag in counted.items():
        suite.set(name, str(len(suite.findall(f"testcase/{tag}"))))
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _test(
    suite: ElementTree.Element,
    row: pd.Series,
    metric: str,
    comparison: Comparison,
    failing: Mapping[tuple[str, str], Finding],
) -> None:
    """Add the test of a metric of a case. A lost case has that of its time alone."""
    lost = failing.get((row["case"], "ended"))
    if lost and metric != "time":
        return
    name = {"classname": f"attnbench.{metric}", "name": _readable(cells.title(row, comparison.named))}
    case = ElementTree.SubElement(suite, "testcase", name)
    found = lost or failing.get((row["case"], metric))
    verdict = row["verdict"] if metric == "time" else row[metric]
    if found:
        kind = "error" if lost else "failure"
        ElementTree.SubElement(case, kind, {"message": _readable(found.told), "type": found.verdict.value})
    elif verdict not in _DECIDED:
        why = f"{verdict}: {row['reason']}" if metric == "time" and row["reason"] else verdict
        ElementTree.SubElement(case, "skipped", {"message": _readable(why)})
    ElementTree.SubElement(case, "system-out").text = _readable(cells.metric(row, metric))


def _fitting(comparison: Comparison, fits: Callable[[str], bool], first: str = "") -> str:
    """Return a page that fits: with all findings and the whole table, or with only the worst rows of both."""
    most = max(len(comparison.frame), len(comparison.findings or ()))
    text = _page(comparison, most)
    while most > 0 and not fits(text):
        most //= 2
        text = _page(comparison, most)
    return first + text


def _page(comparison: Comparison, most: int) -> str:
    """Return a page with at most `most` findings and rows."""
    said = "" if comparison.findings is None else f": {escape.text(headline(comparison), longest=None)}"
    words = "\n".join(f"- {escape.text(each)}" for each in answer(comparison))
    every = tables.markdown(comparison, most) if most else ""
    named = f" ({escape.text(comparison.suite)})" if comparison.suite else ""
    parts = [f"### attnbench{named}{said}", words, bullets(comparison, most), every]
    return "\n\n".join(part for part in parts if part) + "\n"


def _message(text: str) -> str:
    """Escape a message of a workflow command: percent signs and line ends."""
    return escape.plain(text).replace("%", "%25")


def _property(text: str) -> str:
    """Escape a property of a workflow command: also commas and colons."""
    return escape.plain(text).replace("%", "%25").replace(":", "%3A").replace(",", "%2C")


def _readable(text: str) -> str:
    """Replace characters that XML cannot hold."""
    return _UNREADABLE.sub("?", text)
