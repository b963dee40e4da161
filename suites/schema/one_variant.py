"""Reads one variant with parameters from the command line: `window=65`."""

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from attnbench.suites.case import Case
from attnbench.suites.problem import Problem, SuiteError, found_variant
from attnbench.suites.problem import found as found_instead
from attnbench.suites.schema.catalog import catalog, problems
from attnbench.suites.schema.document import Document, read
from attnbench.suites.schema.explain import explain
from attnbench.suites.schema.schema import schema
from attnbench.suites.schema.suite import Suite
from attnbench.variants import Variant, kernels


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
        raise _error((), f"expected a variant of {', '.join(there)}, {found_variant(name, list(there))}")
    return there[name]


def cases(name: str, words: Sequence[str], option: str, **axes: Any) -> list[Case]:
    """A case for each implementation of a variant whose parameters are the words, at these axes of a suite.

    `option` is what errors call the words. A word is NAME=VALUE, the value as a suite writes it; `implementation` is
    a name too, by default all that there are.

    Raises:
        SuiteError: there is no such variant, a word is none of its parameters, or a value does not fit.
    """
    given = {"implementation": named(name).implementations(kernels.names()), **_read(words, option)}
    try:
        suite = Suite.model_validate({"name": "words", "question": "?", "variants": [{name: given}], **axes})
    except ValidationError as error:
        mistakes = explain(error.errors(include_url=False), Document(option), schema)
        # What lies above a parameter, the suite and its list of variants, nobody has written.
        raise SuiteError(Problem(option, None, None, each.path[3:], each.text) for each in mistakes) from None
    made = suite.cases()
    if len({case.parameters for case in made}) > 1:
        raise _error((), "expected one value for each parameter, found a list that makes several", option)
    return made


def _read(words: Sequence[str], option: str) -> dict[str, Any]:
    """The values by their names."""
    values = {}
    for word in words:
        name, _, text = word.partition("=")
        if not name or not text:
            raise _error((), f"expected NAME=VALUE such as window=65, {found_instead(word)}", option)
        document = read(text, option)
        if document.problems:
            raise _error((name,), document.problems[0].text, option)
        values[name] = document.data
    return values


def _error(path: tuple[str, ...], text: str, file: str = "") -> SuiteError:
    return SuiteError([Problem(file, None, None, path, text)])
