"""A comparison for other programs: GitHub summaries, annotations and comments, and JUnit.

Limits are GitHub's: a step summary above 1 MiB is refused, of annotations a step shows ten of each kind, and a comment
holds 65,536 characters.
"""

import re
from collections.abc import Callable, Sequence
from xml.etree import ElementTree

from attnbench.reports.compare import cells, tables
from attnbench.reports.compare.answer import answer
from attnbench.reports.compare.comparison import Comparison
from attnbench.reports.compare.gate import Finding, failed
from attnbench.reports.data.settings import varied
from attnbench.reports.decision.verdict import COMPARED, Verdict
from attnbench.reports.text import escape

MARKER = "<!-- attnbench -->"
"""The first line of a comment, by which the next one finds it and replaces it."""
MOST_ANNOTATIONS = 10
SUMMARY_BYTES = 2**20
COMMENT_CHARACTERS = 65_536
_UNREADABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]|[\ud800-\udfff]")


def headline(comparison: Comparison, found: Sequence[Finding]) -> str:
    """`2 findings that fail, 1 that warns.`, or that there is none; and what else keeps this from being an answer."""
    told = [*doubts(comparison), *([_counted(found)] if found else [])] or [
        "Nothing is shown to be worse than allowed."
    ]
    untimed = comparison.compared and not comparison.frame["verdict"].isin(COMPARED).any()
    return " ".join([*told, *(["No time was compared."] if untimed else [])])


def doubts(comparison: Comparison) -> list[str]:
    """Why that nothing is found does not say that nothing is worse."""
    return [
        *([comparison.cut] if comparison.cut else []),
        *([] if comparison.compared else ["Nothing could be compared."]),
        *([f"Too noisy: the same code differed by {comparison.noise:.1%}."] if comparison.too_noisy else []),
    ]


def _counted(found: Sequence[Finding]) -> str:
    fails = len(failed(found))
    warns = len(found) - fails
    failing = "1 finding that fails" if fails == 1 else f"{fails} findings that fail"
    return f"{failing}, {warns} that warn{'s' if warns == 1 else ''}."


def bullets(found: Sequence[Finding], most: int | None = None) -> str:
    """The findings as a list in Markdown; with `most`, so many of them and how many more there are."""
    shown = found[:most]
    lines = [
        f"- **{each.severity}** {escape.text(each.title)}: {each.metric} {escape.text(each.told)}" for each in shown
    ]
    left_out = len(found) - len(shown)
    return "\n".join([*lines, *([f"- and {left_out} more"] if left_out else [])])


def annotations(comparison: Comparison, found: Sequence[Finding]) -> str:
    """Workflow commands, at most ten: a warning for each doubt, then an error or a warning for each finding."""
    told = [("warning", "attnbench", each) for each in doubts(comparison)]
    told += [(_kind(each), f"{each.metric} {each.verdict}", f"{each.title}: {each.told}") for each in found]
    lines = [f"::{kind} title={_property(title)}::{_message(text)}" for kind, title, text in told]
    return "".join(f"{line}\n" for line in lines[:MOST_ANNOTATIONS])


def summary(comparison: Comparison, found: Sequence[Finding] | None) -> str:
    """A step summary: what was found, in words and as a table, cut off below GitHub's limit."""
    return _fitting(comparison, found, lambda text: len(text.encode()) < SUMMARY_BYTES)


def comment(comparison: Comparison, found: Sequence[Finding] | None) -> str:
    """The body of a comment on a pull request, with its marker, cut off below GitHub's limit."""
    return _fitting(comparison, found, lambda text: len(f"{MARKER}\n{text}") < COMMENT_CHARACTERS, f"{MARKER}\n")


def junit(comparison: Comparison, found: Sequence[Finding]) -> str:
    """JUnit's XML: a test case for each case.

    What fails the check is a failure, a case that is lost an error; where the time is open or nothing was compared, it
    is skipped.
    """
    by_case: dict[str, list[Finding]] = {}
    for each in failed(found):
        by_case.setdefault(each.case, []).append(each)
    frame = comparison.worst_first
    named = varied(frame)
    lost = sum(any(each.metric == "ended" for each in told) for told in by_case.values())
    idle = set(frame.loc[~comparison.compared_rows & (frame["verdict"] == Verdict.INCOMPARABLE), "case"]) - set(by_case)
    undecided = frame["verdict"].isin([Verdict.INCONCLUSIVE, Verdict.UNSTABLE])
    idle |= set(frame.loc[undecided, "case"]) - set(by_case)
    counts = {"tests": len(frame), "failures": len(by_case) - lost, "errors": lost, "skipped": len(idle)}
    suite = ElementTree.Element(
        "testsuite", {"name": "attnbench", **{name: str(each) for name, each in counts.items()}}
    )
    for _, row in frame.iterrows():
        name = {"classname": f"attnbench.{row['direction']}", "name": _readable(cells.title(row, named))}
        case = ElementTree.SubElement(suite, "testcase", name)
        told = by_case.get(row["case"], [])
        if told:
            kind = "error" if told[0].metric == "ended" else "failure"
            text = "; ".join(f"{each.metric}: {each.told}" for each in told)
            ElementTree.SubElement(case, kind, {"message": _readable(text), "type": told[0].verdict.value})
        elif row["case"] in idle:
            ElementTree.SubElement(case, "skipped", {"message": _readable(f"{row['verdict']}: {row['reason']}")})
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _fitting(
    comparison: Comparison, found: Sequence[Finding] | None, fits: Callable[[str], bool], first: str = ""
) -> str:
    """The longest page that fits: with all findings and the whole table, or with fewer rows of both, the worst ones."""
    most = max(len(comparison.frame), len(found or []))
    text = _page(comparison, found, most)
    while most > 0 and not fits(text):
        most //= 2
        text = _page(comparison, found, most)
    return first + text


def _page(comparison: Comparison, found: Sequence[Finding] | None, most: int) -> str:
    """A page; None is found where nothing is held to a policy."""
    title = "### attnbench" if found is None else f"### attnbench: {headline(comparison, found)}"
    words = "\n".join(f"- {escape.text(each)}" for each in answer(comparison))
    parts = [title, bullets(found or [], most), words, tables.markdown(comparison, most) if most else ""]
    return "\n\n".join(part for part in parts if part) + "\n"


def _kind(finding: Finding) -> str:
    return "error" if finding.severity == "fail" else "warning"


def _message(text: str) -> str:
    """A message of a workflow command: percent signs and line ends are escaped."""
    return escape.plain(text).replace("%", "%25")


def _property(text: str) -> str:
    """A property of a workflow command: commas and colons are escaped too."""
    return escape.plain(text).replace("%", "%25").replace(":", "%3A").replace(",", "%2C")


def _readable(text: str) -> str:
    """Text without what XML cannot hold."""
    return _UNREADABLE.sub("?", text)
