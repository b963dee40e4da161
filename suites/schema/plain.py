"""Plain YAML scalars with one meaning for every reader of YAML 1.1, YAML 1.2 and JSON."""

import math
import re
from typing import Any

from yaml.nodes import ScalarNode

_NULL = ("", "~", "null", "Null", "NULL")
_FLAGS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,29})")
_NUMBER = re.compile(r"([-+]?[0-9]{1,30}\.[0-9]{0,30}|\.[0-9]{1,30})([eE][-+][0-9]{1,4})?")
_NEWER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+|[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
"""What YAML 1.2 takes for a number."""


def is_text(node: ScalarNode) -> bool:
    """Whether a plain scalar is text in YAML 1.1 and in YAML 1.2."""
    return node.tag == "tag:yaml.org,2002:str" and not _NEWER.fullmatch(node.value)


def meaning(text: str) -> Any:
    """The value of a plain scalar that is no text.

    Raises:
        ValueError: readers disagree on it.
    """
    if text in _NULL:
        return None
    if text in _FLAGS:
        return _FLAGS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text) and math.isfinite(float(text)):
        return int(float(text)) if float(text).is_integer() else float(text)
    raise ValueError(text)
