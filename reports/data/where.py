"""Conditions on the rows of a table, such as `time < 5ms and variant in (full, bigbird)`. They never run code.

    either     = all {"or" all}
    all        = one {"and" one}
    one        = "not" one | "(" either ")" | comparison
    comparison = side {sign side} | column ["not"] "in" list | a column of yes or no
    list       = "(" [side {"," side}] ")", or the same in square brackets

A side is a column or a value. A sign is `<`, `<=`, `>`, `>=`, `=`, `==`, `!=` or `has`. `docs/columns.md` has the
rules, and `html/templates/condition.js` reads the same language on pages.
"""

import difflib
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from attnbench.reports.data.columns import UNITS, Column, is_flag, named
from attnbench.reports.data.values import floats, plain, word

LONGEST = 1000
"""The most characters of a condition."""
_TOKEN = re.compile(r"""'[^']*'|"[^"]*"|[<>=!]=|[^\s<>=!()\[\],"']+|\S""")
_SIDE = re.compile(r"""'[^']*'|"[^"]*"|(?!(?:and|or|not|in|has)$)[^\s<>=!()\[\],"']+""")
_NUMBER = re.compile(r"([-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?) ?(.*)")
_GREEK = re.compile(r"\N{GREEK SMALL LETTER MU}(?=[sJ]\b)")
"""The mu of a unit as a Greek keyboard has it; units have the micro sign."""
_ALL_UNITS = {unit for units in UNITS.values() for unit in units} - {""}
_NO_UNIT = {"": 1.0}
_FLAGS = {"yes": "yes", "true": "yes", "True": "yes", "no": "no", "false": "no", "False": "no"}
_COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "has": np.frompyfunc(lambda text, part: part.lower() in text.lower(), 2, 1),
}
_SIGNS = {
    "number": ("<", "<=", ">", ">=", "==", "!=", "in"),
    "flag": ("==", "!=", "in"),
    "text": ("==", "!=", "in", "has"),
}
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
_VALUE = "a value, in quotes if it has spaces or brackets"
Bools = npt.NDArray[np.bool_]


class WhereError(ValueError):
    """Raised if a condition cannot be read. The message says what was expected and found."""


class _Side(NamedTuple):
    """A column or a value in a condition."""

    place: int
    """The place of its token."""
    text: str
    column: Column | None

    @property
    def is_quoted(self) -> bool:
        return self.text[0] in "'\""


class _Cells(NamedTuple):
    """The cells of a column, or a value: numbers, or texts, which yes and no are, too."""

    values: Any
    are_known: Any = True


def where(frame: pd.DataFrame, condition: str) -> pd.DataFrame:
    """Return the rows of a frame for which a condition holds.

    Raises:
        WhereError: the condition cannot be read, or names a column that is not there.
    """
    if len(condition) > LONGEST:
        raise WhereError(f"expected a condition of at most {LONGEST} characters, found {len(condition)}")
    try:
        return frame[_Reader(condition, frame).read()]
    except RecursionError:
        raise WhereError(f"expected fewer brackets within brackets, found {plain(condition)}") from None


def column(frame: pd.DataFrame, name: str) -> Column:
    """Return the column of a frame by one of its names.

    Raises:
        WhereError: the frame does not have it.
    """
    known = named(frame)
    if name not in known:
        raise WhereError(f"expected a column{_nearest(name, known)}, found {name}")
    return known[name]


def _nearest(name: str, known: Iterable[str]) -> str:
    """Return the names that are spelled nearly so: `, such as seq_len`; ` of the table` if there are none."""
    spelled = {each.lower(): each for each in known}
    near = [spelled[each] for each in difflib.get_close_matches(name.lower(), spelled)]
    return f", such as {', '.join(near)}" if near else " of the table"


class _Reader:
    """Reads a condition from left to right. The first methods return for which rows a part of it holds `[rows]`."""

    def __init__(self, condition: str, frame: pd.DataFrame) -> None:
        self._frame, self._columns = frame, named(frame)
        found = [*_TOKEN.finditer(_GREEK.sub("µ", condition))]
        self._tokens = [*(each.group() for each in found), ""]
        self._starts = [each.start() for each in found]
        self._at = 0

    def read(self) -> Bools:
        fits = self._either()
        if self._tokens[self._at]:
            raise self._mistake("and, or, or the end, or quotes around a text with spaces or brackets")
        return fits

    def _either(self) -> Bools:
        fits = self._all()
        while self._took("or"):
            fits = fits | self._all()
        return fits

    def _all(self) -> Bools:
        fits = self._one()
        while self._took("and"):
            fits = fits & self._one()
        return fits

    def _one(self) -> Bools:
        if self._took("not"):
            return ~self._one()
        if not self._took("("):
            return self._comparison()
        fits = self._either()
        if not self._took(")"):
            raise self._mistake("and, or, or )")
        return fits

    def _comparison(self) -> Bools:
        left = self._side("a column, not or (")
        if self._tokens[self._at] in ("not", "in"):
            return self._contained(left)
        fits = np.ones(len(self._frame), np.bool_)
        start = self._at
        while sign := self._took("=", *_COMPARISONS):
            place, right = self._at - 1, self._side(_VALUE)
            fits = fits & self._compared(left, "==" if sign == "=" else sign, right, place)
            left = right
        if self._at > start:
            return fits
        known = self._known(left)
        if self._kind(known) != "flag":
            raise self._no_sign(left, self._at)
        return np.asarray(self._cells(known).values == "yes", np.bool_)

    def _contained(self, left: _Side) -> Bools:
        cells = self._cells(self._known(left))
        is_not = self._took("not")
        if not self._took("in"):
            raise self._mistake("in")
        closing = {"(": ")", "[": "]"}.get(self._took("(", "["))
        if closing is None:
            raise self._mistake("a list of values in brackets")
        fits = np.zeros(len(self._frame), np.bool_)
        while not self._took(closing):
            fits = fits | _holds(cells, "==", self._value(self._side(_VALUE), left, "=="))
            if not self._took(",") and self._tokens[self._at] != closing:
                raise self._mistake(f", or {closing}")
        return np.asarray(cells.are_known & ~fits, np.bool_) if is_not else fits

    def _compared(self, left: _Side, sign: str, right: _Side, place: int) -> Bools:
        if (
            left.column is None
            and sign in _MIRRORED
            and (right.column or left.is_quoted or _NUMBER.fullmatch(left.text))
        ):
            left, sign, right = right, _MIRRORED[sign], left
        known = self._known(left)
        if sign not in _SIGNS[self._kind(known)]:
            raise self._no_sign(left, place)
        other = self._cells(right.column) if right.column else self._value(right, left, sign)
        if right.column and self._scale(known) != self._scale(right.column):
            raise self._mistake(self._wanted(left), right.place)
        return _holds(self._cells(known), sign, other)

    def _side(self, expected: str) -> _Side:
        """Take a column or a value. A unit belongs to the number before it."""
        place, text = self._at, self._tokens[self._at]
        if not _SIDE.fullmatch(text):
            raise self._mistake(expected)
        self._at += 1
        number = _NUMBER.fullmatch(text)
        if number and not number[2]:
            text = f"{text} {self._took(*_ALL_UNITS)}".strip()
        return _Side(place, text, self._columns.get(text))

    def _known(self, side: _Side) -> Column:
        if side.column is None:
            raise self._mistake(f"a column{_nearest(side.text, self._columns)}", side.place)
        return side.column

    def _kind(self, known: Column) -> str:
        return "number" if known.unit else "flag" if is_flag(self._frame[known.name]) else "text"

    def _scale(self, known: Column) -> str:
        """Return what columns that are compared with each other share: their kind, and the unit of numbers with one."""
        return self._kind(known) if "" in UNITS.get(known.unit, _NO_UNIT) else known.unit

    def _cells(self, known: Column) -> _Cells:
        cells = self._frame[known.name]
        if known.unit:
            return _Cells(floats(cells), cells.notna().to_numpy(np.bool_))
        texts = np.array([word(each) for each in cells.astype(object)], object)
        return _Cells(texts, np.asarray(texts != "", np.bool_))

    def _value(self, side: _Side, beside: _Side, sign: str) -> _Cells:
        """Return a value in the unit of the column that it is compared with."""
        known = self._known(beside)
        kind, text = self._kind(known), side.text[1:-1] if side.is_quoted else side.text
        if (text == "" and sign in ("==", "!=")) or (kind == "text" and not side.column):
            return _Cells(text)
        if kind == "flag" and text in _FLAGS:
            return _Cells(_FLAGS[text])
        number = None if side.is_quoted else _NUMBER.fullmatch(text)
        if kind != "number" or number is None:
            raise self._mistake(self._wanted(beside), side.place)
        units, unit = UNITS.get(known.unit, _NO_UNIT), number[2]
        needs_none = float(number[1]) == 0 or beside.text == known.name
        if unit not in units and not (unit == "" and needs_none):
            named_units = ", ".join(filter(None, units))
            expected = f"one of the units {named_units}" if named_units else f"no unit after a number for {beside.text}"
            raise self._mistake(expected, side.place + (self._tokens[side.place] == number[1]))
        return _Cells(float(number[1]) * units.get(unit, 1.0))

    def _wanted(self, beside: _Side) -> str:
        """Say what is compared with a column."""
        known = self._known(beside)
        units = ", ".join(filter(None, UNITS.get(known.unit, _NO_UNIT)))
        number = f"a number with one of the units {units}" if units else "a number"
        told = {"number": number, "flag": "yes or no", "text": "a text, in quotes if a column is called so,"}
        return f"{told[self._kind(known)]} for {beside.text}"

    def _no_sign(self, beside: _Side, place: int) -> WhereError:
        signs = ", ".join(_SIGNS[self._kind(self._known(beside))])
        return self._mistake(f"one of {signs} with {beside.text}", place)

    def _took(self, *tokens: str) -> str:
        """Take what is next if it is one of these, and return it; empty if it is not."""
        token = self._tokens[self._at]
        if token not in tokens:
            return ""
        self._at += 1
        return token

    def _mistake(self, expected: str, place: int | None = None) -> WhereError:
        at = self._at if place is None else place
        token = plain(self._tokens[at])
        found = f"{token} at character {self._starts[at] + 1}" if token else "the end"
        return WhereError(f"expected {expected}, found {found}")


def _holds(cells: _Cells, sign: str, other: _Cells) -> Bools:
    """Return where a comparison holds. A missing cell is equal to the empty text, and like nothing else."""
    if isinstance(other.values, str) and not other.values and sign != "has":
        return np.asarray(cells.are_known if sign == "!=" else ~cells.are_known, np.bool_)
    found = np.asarray(_COMPARISONS[sign](cells.values, other.values), np.bool_)
    return np.asarray(cells.are_known & other.are_known & found, np.bool_)
