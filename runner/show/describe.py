"""Description of one variant as text and as a picture, for `bench show`."""

import statistics
from dataclasses import MISSING, Field, fields
from typing import Any

from attnbench import variants
from attnbench.reports.drawing import pattern_image
from attnbench.suites import Case, Problem
from attnbench.suites.problem import near, shown
from attnbench.suites.schema.catalog import broken
from attnbench.suites.schema.load import named
from attnbench.suites.schema.schema import values_in_words
from attnbench.variants import Pattern, Shape, Spans, TooManySpans, mechanism_peers

POWERS = tuple(2**power for power in range(6, 12))
"""Lengths from 64 to 2048. Patterns of whole blocks usually exist at some of these."""
SIDE = 64
"""Width and height of a picture in the terminal, in cells."""
NO_PATTERN = "no pattern: what it computes is not softmax attention over fixed keys"
_FILE_SIDE = 256
_SMALL = (1, 2, 3, 5, 7, 61, 97, 193, 389)
_DENSITY = 1 / 2


class Missing(Exception):
    """A pattern does not exist at a length. The message says why."""


def head(name: str) -> str:
    """Return a variant's description, file and parameters.

    Raises:
        SuiteError: the variant does not exist, or the file of a variant is broken.
    """
    variant = named(name)
    description = variants.describe(name)
    told = [name, "", *([description, ""] if description else [])]
    told += [f"Source: {variant.source}", ""] if variant.source and "Source: " not in description else []
    parameters = [_parameter(each) for each in fields(variant.parameters)]
    told += [f"file: {near(variants.file(name))}"]
    if mechanism_peers.names(name):
        told += [f"implementations: {', '.join(variants.implementations(name, ()))}"]
    return "\n".join([*told, "", "parameters", *(parameters or ["  none"])])


def flaw(case: Case, n: int | None) -> str | None:
    """Return what is wrong with the case's pattern, or None.

    It is checked at small odd lengths, at the lengths of pictures, and at n.
    """
    pattern = case.parameters
    if not isinstance(pattern, Pattern):
        return _mistake(case, n)
    for each in (*_SMALL, *POWERS, *([n] if n else [])):
        try:
            found = None if pattern.unsupported(each) else variants.flaw(pattern, each)
        except TooManySpans:
            continue
        except Exception as error:  # the user's file runs here and may raise anything
            return _told(case, error, f"a pattern at N={each}")
        if found:
            return found
    return None


def _mistake(case: Case, n: int | None) -> str | None:
    """Return what is wrong with a mechanism that is not a pattern, at length n or a long one, or None."""
    try:
        where = n or case.parameters.near(POWERS[-1])[1]
        if case.parameters.unsupported(where) is None:
            without_pattern(case, where)
    except Exception as error:  # as above
        return _told(case, error, "a mechanism that is no pattern")
    return None


def _told(case: Case, error: Exception, expected: str) -> str:
    """Return an error of the variant's file, with its line."""
    problem = broken(case.mechanism.name, error)
    text = problem.text.replace("expected a variant", f"expected {expected}")
    return str(Problem(problem.file, problem.line, None, (), text))


def spans(pattern: Pattern, n: int | None) -> Spans:
    """Return the pattern's spans at length n. By default, n is a length that shows the pattern's structure.

    Raises:
        Missing: the pattern does not exist there.
    """
    n = n or length(pattern)
    if n is None:
        raise Missing(f"it exists at no length up to {POWERS[-1]}; at N=1: {pattern.unsupported(1)}; give --seq-len")
    reason = pattern.unsupported(n)
    if reason:
        raise Missing(reason)
    try:
        return pattern.spans(n)
    except TooManySpans as error:
        raise Missing(str(error)) from None


def length(pattern: Pattern) -> int | None:
    """Return a length to draw at: one at which the pattern hides half of the pairs, or the first at which it exists."""
    there = [n for n in (*POWERS, *range(1, POWERS[-1])) if pattern.unsupported(n) is None]
    sparse = (n for n in there if n in POWERS and pattern.spans(n).pairs() < _DENSITY * n**2)
    return next(sparse, there[0] if there else None)


def drawn(label: str, spans: Spans, encoding: str) -> str:
    """Return the pattern as text, with the number of keys and pairs."""
    cell = -(-spans.n // SIDE)
    scale = f"; a cell is {cell} x {cell} pairs, set where any is allowed" if cell > 1 else ""
    seen = pattern_image.terminal(pattern_image.bitmap(spans, SIDE), encoding)
    return "\n".join([title(label, spans.n) + scale, "", seen, "", *counted(spans)])


def counted(spans: Spans) -> list[str]:
    """Return the number of keys of a query, and the number of pairs, as two lines."""
    counts = sorted(spans.counts().tolist())
    least, most = counts[0], counts[-1]
    return [
        f"keys per query: {least}" + (f" to {most}, median {statistics.median(counts):g}" if least < most else ""),
        f"allowed pairs: {spans.pairs():,} of {spans.n**2:,} ({spans.pairs() / spans.n**2:.1%})",
    ]


def without_pattern(case: Case, n: int) -> str:
    """Describe a mechanism that is not a pattern, at length n."""
    setting = case.changed(shape=Shape(1, 1, 1, n, 64), direction="forward").setting
    flops = variants.load(case.mechanism.name).flops(case.parameters, setting)
    return f"{NO_PATTERN}\nFLOPs of one head of 64 at N = {n}, forward: {flops:,}"


def picture_file(label: str, spans: Spans, kind: str) -> str | bytes:
    """Return the contents of a picture file, `.svg` or `.png`."""
    seen = pattern_image.bitmap(spans, _FILE_SIDE)
    return pattern_image.png(seen) if kind == ".png" else pattern_image.svg(seen, title(label, spans.n))


def title(label: str, n: int) -> str:
    """Return the title of a picture."""
    return f"{label} at N = {n}, queries down, keys across"


def _parameter(each: "Field[Any]") -> str:
    """Return a parameter's name, default and values on one line, and its meaning on the next."""
    default = "required" if each.default is MISSING else f"default {shown(each.default)}"
    values = values_in_words(each)
    return f"  {each.name} ({default}): {values}\n      {each.metadata['doc']}"
