"""Reads a suite from a file or a text, and one variant from the command line, or lists everything that is wrong."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from attnbench.suites.case import Case
from attnbench.suites.problem import KeyPath, Problem, found_variant
from attnbench.suites.problem import SuiteError as SuiteError
from attnbench.suites.problem import found as found_instead
from attnbench.suites.schema.catalog import catalog, problems
from attnbench.suites.schema.document import LONGEST, Document, read
from attnbench.suites.schema.schema import explain
from attnbench.suites.schema.suite import Suite
from attnbench.variants import Variant, kernels


def load(path: Path | str) -> Suite:
    """The suite in a file.

    Raises:
        SuiteError: the file cannot be read or is no valid suite, or the file of one of its variants is broken.
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
    return parse(text, str(path))


def parse(text: str, name: str = "<suite>") -> Suite:
    """The suite in a text; `name` is what errors call it.

    Raises:
        SuiteError: it is no valid suite, or the file of one of its variants is broken.
    """
    document = read(text, name)
    _refuse_broken(document.data)
    mistakes = document.problems
    if document.data is None and mistakes:
        raise SuiteError(mistakes)
    try:
        suite = Suite.model_validate(document.data, context={"source": text})
    except ValidationError as error:
        blamed = {(each.line, each.column) for each in mistakes}
        more = explain(error, document)
        mistakes = [*mistakes, *(each for each in more if (each.line, each.column) not in blamed)]
    if mistakes:
        raise SuiteError(sorted(mistakes, key=lambda each: (each.line or 0, each.column or 0)))
    return suite


def from_dict(data: Any, name: str = "", source: str = "") -> Suite:
    """The suite in plain data: mappings, lists, text, numbers. `name` is what errors call it, `source` its text.

    Raises:
        SuiteError: it is no valid suite, or the file of one of its variants is broken. There are no lines to name.
    """
    _refuse_broken(data)
    try:
        return Suite.model_validate(data, context={"source": source})
    except ValidationError as error:
        raise SuiteError(explain(error, Document(name, data))) from None


def named(name: str) -> Variant:
    """The variant of this name.

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
    """A case for each implementation of a variant whose parameters are the words, at these axes of a suite.

    `option` is what errors call the words. A word is NAME=VALUE, the value as a suite writes it; `implementation` is
    a name too, by default all that there are.

    Raises:
        SuiteError: there is no such variant, a word is none of its parameters, or a value does not fit.
    """
    given: dict[str, Any] = {"implementation": named(name).implementations(kernels.names())}
    for word in words:
        key, _, text = word.partition("=")
        if not key or not text:
            raise _error(option, f"expected NAME=VALUE such as window=65, {found_instead(word)}")
        value = read(text, option)
        if value.problems:
            raise _error(option, value.problems[0].text, (key,))
        given[key] = value.data
    try:
        made = from_dict({"name": "words", "question": "?", "variants": [{name: given}], **axes}, option).cases()
    except SuiteError as error:
        # What lies above a parameter, the suite and its list of variants, nobody has written.
        raise SuiteError(replace(each, path=each.path[3:]) for each in error.problems) from None
    if len({case.parameters for case in made}) > 1:
        raise _error(option, "expected one value for each parameter, found a list that makes several")
    return made


def _refuse_broken(data: Any) -> None:
    """Refuse a suite that names a variant whose file is broken."""
    broken = problems(data.get("variants", ()) if isinstance(data, dict) else ())
    if broken:
        raise SuiteError(broken)


def _error(file: Path | str, text: str, path: KeyPath = ()) -> SuiteError:
    """One mistake that has no line."""
    return SuiteError([Problem(str(file), None, None, path, text)])
