"""Functions that escape untrusted text for LaTeX, so that it compiles with pdflatex and its usual fonts."""

import re
import unicodedata

from attnbench.reports.data.values import plain

_ESCAPED = {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "{''}",
    "\N{MICRO SIGN}": r"$\mu$",
    "\N{GREEK SMALL LETTER MU}": r"$\mu$",
    "±": r"$\pm$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "∝": r"$\propto$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "·": r"$\cdot$",
    "²": r"$^2$",
    "\N{EN DASH}": r"\textendash{}",
    "\N{EM DASH}": r"\textemdash{}",
    "…": r"\ldots{}",
    "\N{RIGHT SINGLE QUOTATION MARK}": r"\textquoteright{}",
    "\N{LEFT SINGLE QUOTATION MARK}": r"\textquoteleft{}",
    "\N{LEFT DOUBLE QUOTATION MARK}": r"\textquotedblleft{}",
    "\N{RIGHT DOUBLE QUOTATION MARK}": r"\textquotedblright{}",
    "ß": r"\ss{}",
    "æ": r"\ae{}",
    "Æ": r"\AE{}",
    "ø": r"\o{}",
    "Ø": r"\O{}",
    "å": r"\aa{}",
    "Å": r"\AA{}",
    "ł": r"\l{}",
    "Ł": r"\L{}",
    **{each: f"\\{each}" for each in "&%$#_"},
    # Not `\{`: BibTeX counts every brace.
    "{": r"\textbraceleft{}",
    "}": r"\textbraceright{}",
    # LaTeX takes a bracket or a star after the end of a row for an option, and joins quotes.
    **{each: f"{{{each}}}" for each in "[]*`'"},
}
_JOINED = re.compile("(?<=-)-|(?<=,),")
"""The second of two characters that LaTeX would join."""
_ACCENTS = {
    "\u0300": "`",
    "\u0301": "'",
    "\u0302": "^",
    "\u0303": "~",
    "\u0304": "=",
    "\u0306": "u ",
    "\u0307": ".",
    "\u0308": '"',
    "\u030b": "H ",
    "\u030c": "v ",
    "\u0327": "c ",
}


def text(value: object, longest: int | None = None) -> str:
    """Return one line of LaTeX that shows the text of `plain`. A character that LaTeX cannot show is `[U+4E2D]`."""
    return _JOINED.sub(r"{\g<0>}", "".join(map(_character, plain(value, longest))))


def _character(one: str) -> str:
    """Write a character in LaTeX."""
    if one in _ESCAPED:
        return _ESCAPED[one]
    if one.isascii():
        return one
    letter, *accents = list(unicodedata.normalize("NFD", one))
    if letter.isalpha() and letter.isascii() and len(accents) == 1 and accents[0] in _ACCENTS:
        return f"\\{_ACCENTS[accents[0]]}{{{letter}}}"
    return f"{{[}}U+{ord(one):04X}{{]}}"


def table(align: str, header: list[list[str]], rows: list[list[str]]) -> str:
    """Return a `tabular` of booktabs, made smaller if it is too wide; `align` is l, c or r for each column."""
    lines = [*(_row(each) for each in header), r"\midrule", *(_row(each) for each in rows)]
    body = [rf"\begin{{tabular}}{{{align}}}", r"\toprule", *lines, r"\bottomrule", r"\end{tabular}"]
    fitted = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
    return "\n".join([fitted, *body]) + "}"


def _row(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"
