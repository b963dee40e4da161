"""Readers of suites from a file, a text or plain data, and of one variant from the command line."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from attnbench import variants
from attnbench.suites.case import Case
from attnbench.suites.problem import KeyPath, Problem, found_variant
from attnbench.suites.problem import SuiteError as SuiteError
from attnbench.suites.problem import found as found_instead
from attnbench.suites.schema.catalog import catalog, problems
from attnbench.suites.schema.document import LONGEST, Document, read
from attnbench.suites.schema.equal import flaw
from attnbench.suites.schema.schema import explain
from attnbench.suites.schema.suite import Suite
from attnbench.variants import Variant, kernels

_HERE = Path()


def load(path: Path | str) -> Suite:
    """Read the suite in a file.

    Raises:
        SuiteError: the file cannot be read, is not a valid suite, or names a file of inputs or edges that is not valid,
            or the file of one of its variants is broken.
    """
    try:
        with open(path, "rb") as stream:
            content = stream.read(LONGEST + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _error(path, f"expected the file of a suite, found none: {reason}") from None
    if len(content) > LONGEST:
        raise _error(path, f"expected at most {LONGEST} bytes, found more")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8-sig")
        place = before.count("\n") + 1, len(before) - before.rfind("\n")
        words = f"expected text in UTF-8, found the byte {content[error.start]:#04x}"
        raise SuiteError([Problem(str(path), *place, (), words)]) from None
    return parse(text, str(path), Path(path).parent)


def parse(text: str, name: str = "<suite>", folder: Path = _HERE) -> Suite:
    """Read the suite in a text. `name` is its name in errors, and its files are looked for in `folder`.

    Raises:
        SuiteError: the suite or its file of inputs is invalid, or the file of one of its variants is broken.
    """
    document = read(text, name)
    _refuse_broken(document.data)
    mistakes = document.problems
    if document.data is None and mistakes:
        raise SuiteError(mistakes)
    try:
        suite = Suite.model_validate(document.data, context={"source": text, "folder": folder})
    except ValidationError as error:
        blamed = {(each.line, each.column) for each in mistakes}
        more = explain(error, document)
        mistakes = [*mistakes, *(each for each in more if (each.line, each.column) not in blamed)]
    if mistakes:
        raise SuiteError(sorted(mistakes, key=lambda each: (each.line or 0, each.column or 0)))
    try:
        suite.input_file()
    except SuiteError as error:
        line, column = document.place(("inputs",))
        raise SuiteError(replace(each, file=name, line=line, column=column) for each in error.problems) from None
    _refuse_unequal(suite, document)
    return suite


def from_dict(data: Any, name: str = "", source: str = "", edges: Path = _HERE) -> Suite:
    """Read the suite in plain data: mappings, lists, text, numbers. `name` is its name in errors, `source` its text.

    Its file of inputs is looked for in the current folder, when the suite runs. Its files of edges are read in `edges`.

    Raises:
        SuiteError: the suite is invalid, or the file of one of its variants is broken. Errors have no lines.
    """
    _refuse_broken(data)
    document = Document(name, data)
    try:
        suite = Suite.model_validate(data, context={"source": source, "edges": edges})
    except ValidationError as error:
        raise SuiteError(explain(error, document)) from None
    _refuse_unequal(suite, document)
    return suite


def named(name: str) -> Variant:
    """Return the variant of this name.

    Raises:
        SuiteError: there is none, or its file is broken.
    """
    there = dict(catalog())
    if name not in there:
        broken = problems([name])
        if broken:
            raise SuiteError(broken)
        raise _error("", f"expected a variant of {', '.join(there)}, {found_variant(name, list(there))}")
    return there[name]


def variant_cases(name: str, words: Sequence[str], option: str, **axes: Any) -> list[Case]:
    """Return a case for each implementation of a variant, with parameters from `words` and at these axes of a suite.

    A word is NAME=VALUE, with the value as in a suite. `implementation` may be a name too; by default, all are used.
    `option` is the name of the words in errors.

    Raises:
        SuiteError: the variant does not exist, a word is not a parameter of it, or a value is invalid.
    """
    variant = named(name)
    given: dict[str, Any] = {"implementation": variants.implementations(name, kernels.names())}
    for word in words:
        key, _, text = word.partition("=")
        if not key or not text:
            raise _error(option, f"expected NAME=VALUE such as window=65, {found_instead(word)}")
        value = read(text, option)
        if value.problems:
            raise _error(option, value.problems[0].text, (key,))
        given[key] = value.data
    try:
        suite = {"name": "words", "question": "?", "level": variant.level, "variants": [{name: given}], **axes}
        made = from_dict(suite, option).cases()
    except SuiteError as error:
        # Only the parameter was written by the user. Remove the path of the suite above it.
        raise SuiteError(replace(each, path=each.path[3:]) for each in error.problems) from None
    if len({case.parameters for case in made}) > 1:
        raise _error(option, "expected one value for each parameter, found a list that makes several")
    return made


def _refuse_broken(data: Any) -> None:
    """Raise if a suite names a variant whose file is broken."""
    broken = problems(data.get("variants", ()) if isinstance(data, dict) else ())
    if broken:
        raise SuiteError(broken)


def _refuse_unequal(suite: Suite, document: Document) -> None:
    """Raise if the numbers of learned weights are not as equal as the suite demands."""
    unequal, path = flaw(suite), ("equal_parameters",)
    if unequal:
        raise SuiteError([Problem(document.file, *document.place(path), path, unequal)])


def _error(file: Path | str, text: str, path: KeyPath = ()) -> SuiteError:
    """Return an error with one problem that has no line."""
    return SuiteError([Problem(str(file), None, None, path, text)])
