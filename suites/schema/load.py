"""Reads a YAML file into a `Suite`, or lists everything that is wrong with it."""

from pathlib import Path

from pydantic import ValidationError

from attnbench.suites.problem import Problem
from attnbench.suites.problem import SuiteError as SuiteError
from attnbench.suites.schema import catalog
from attnbench.suites.schema.document import LONGEST, read
from attnbench.suites.schema.explain import explain
from attnbench.suites.schema.schema import schema
from attnbench.suites.schema.suite import Suite


def load(path: Path | str) -> Suite:
    """The suite in a file.

    Raises:
        SuiteError: the file cannot be read or is no valid suite, or the file of one of its variants is broken.
    """
    file = str(path)
    try:
        with open(path, "rb") as stream:
            content = stream.read(LONGEST + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SuiteError(
            [Problem(file, None, None, (), f"expected the file of a suite, found none: {reason}")]
        ) from None
    if len(content) > LONGEST:
        raise SuiteError([Problem(file, None, None, (), f"expected at most {LONGEST} bytes, found more")])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SuiteError([_no_text(file, content, error.start)]) from None
    return _suite(text, file, Path(path))


def parse(text: str, name: str = "<suite>") -> Suite:
    """The suite in a text; `name` is what errors call it.

    Raises:
        SuiteError: it is no valid suite, or the file of one of its variants is broken.
    """
    return _suite(text, name, None)


def _suite(text: str, file: str, path: Path | None) -> Suite:
    """The suite in a text."""
    document = read(text, file)
    broken = catalog.problems(document.data.get("variants", ()) if isinstance(document.data, dict) else ())
    if broken:
        raise SuiteError(broken)
    problems = document.problems
    if document.data is None and problems:
        raise SuiteError(problems)
    try:
        suite = Suite.model_validate(document.data, context={"source": text, "path": path})
    except ValidationError as error:
        blamed = {(each.line, each.column) for each in problems}
        more = explain(error.errors(include_url=False), document, schema)
        problems = [*problems, *(each for each in more if (each.line, each.column) not in blamed)]
    if problems:
        raise SuiteError(sorted(problems, key=lambda each: (each.line or 0, each.column or 0)))
    return suite


def _no_text(file: str, content: bytes, start: int) -> Problem:
    """The first byte that is no UTF-8."""
    line = content.count(b"\n", 0, start) + 1
    column = len(content[content.rfind(b"\n", 0, start) + 1 : start].decode("utf-8-sig")) + 1
    return Problem(file, line, column, (), f"expected text in UTF-8, found the byte {content[start]:#04x}")
