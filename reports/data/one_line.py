"""Untrusted text on one line: exception messages, suite names."""

import re

LONGEST = 400
_CONTROL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[\x00-\x08\x0e-\x1f\x7f]")


def plain(value: object, longest: int | None = LONGEST) -> str:
    """One line without control characters, cut off where it is longer than `longest`."""
    line = " ".join(_CONTROL.sub("", str(value)).split())
    return line if longest is None or len(line) <= longest else line[: longest - 1] + "…"
