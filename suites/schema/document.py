"""A YAML document as plain data, with the place of every value.

The document must mean the same to every reader of YAML 1.1, YAML 1.2 and JSON. So tags, merge keys, repeated keys and
keys that are not text are refused. So are plain scalars on which readers disagree: `yes`, `1_000`, `010`, `0o17`,
`0x1f`, `1:30`, `1e3`, `2001-01-01`, `.inf`. A number without a fraction is an integer: `512.0` is 512. Anchors and
aliases are resolved. Size, depth and the number of values are limited.
"""

import math
import re
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from attnbench.suites.problem import KeyPath, Problem, found, shown

LONGEST = 2**20
"""Maximum number of characters in a document."""
DEEPEST = 20
"""Maximum number of levels of nested values."""
MOST = 2_000
"""Maximum number of values in a document, with aliases resolved."""

_NULL = ("", "~", "null", "Null", "NULL")
_FLAGS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,29})")
_NUMBER = re.compile(r"([-+]?[0-9]{1,30}\.[0-9]{0,30}|\.[0-9]{1,30})([eE][-+][0-9]{1,4})?|[0-9]{1,30}[eE]-[0-9]{1,4}")
"""Numbers, of which 1e-3 is text in YAML 1.1. A suite means a number by it."""
_NEWER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+|[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
"""Numbers according to YAML 1.2."""

Place = tuple[int | None, int | None]
"""Line and column, counted from 1, or None if there is no text."""


@dataclass
class Document:
    """Plain data of a document: mappings, lists, text, numbers, flags, null.

    `places` and `keys` map a path to the place of its value and of its key.
    """

    file: str
    data: Any = None
    places: dict[KeyPath, Place] = field(default_factory=dict)
    keys: dict[KeyPath, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def blame(self, place: Place, path: KeyPath, text: str) -> None:
        """Add a problem."""
        self.problems.append(Problem(self.file, *place, path, text))

    def place(self, path: KeyPath) -> Place:
        """Return the place of a path's value, or of the closest value above it that exists."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, (1, 1) if self.places else (None, None))


class _TooMuchError(Exception):
    """The document is deeper or larger than allowed, so reading stops. Holds the place, and what was expected."""


def read(text: str, file: str) -> Document:
    """Return the data of a document as far as it can be read, with its problems as YAML."""
    document = Document(file)
    if len(text) > LONGEST:
        document.blame((1, 1), (), f"expected at most {LONGEST} characters, found {len(text)}")
        return document
    try:
        _Reader(text, document).read()
    except _TooMuchError as error:
        document.blame(error.args[0], (), error.args[1])
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        place = before.count("\n") + 1, len(before) - before.rfind("\n")
        document.blame(place, (), f"expected printable text, found the character {error.character:#x}")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = " ".join(f"{error.context or ''} {error.problem or ''}".split())
        document.blame(_place(mark) if mark else (1, 1), (), f"expected YAML, found a mistake: {reason}")
    return document


class _Reader(yaml.SafeLoader):
    """Loader that uses PyYAML up to nodes, and converts these to data itself."""

    def __init__(self, text: str, document: Document) -> None:
        super().__init__(text)
        self.document = document
        self.composed = self.depth = self.count = 0

    def read(self) -> None:
        """Fill in the document."""
        try:
            node = self.get_single_node()
        except (ValueError, OverflowError):
            # PyYAML does not catch Python's errors about large numbers in escapes and directives.
            text = "expected YAML, found a number in an escape or a directive that is too large"
            return self.document.blame(_place(self.get_mark()), (), text)
        if node is None:
            return self.document.blame((1, 1), (), "expected a suite, found an empty document")
        self.document.data = self.value(node, ())
        return None

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        """Return the next node. A tag is added as a problem. Too many nodes end the reading."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]  # so in its stub
        tag = getattr(event, "tag", None)
        if tag is not None:
            told = shown(tag.replace("tag:yaml.org,2002:", "!!"))
            self.document.blame(
                _place(event.start_mark), (), f"expected a plain value, found the tag {told}; remove it"
            )
        self.depth += 1
        self.composed += 1
        _bound(event, self.depth, self.composed)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def value(self, node: Node, path: KeyPath) -> Any:
        """Return the value of a node."""
        self.count += 1
        _bound(node, len(path) + 1, self.count)
        self.document.places[path] = _place(node.start_mark)
        if isinstance(node, MappingNode):
            return self.mapping(node, path)
        if isinstance(node, SequenceNode):
            return [self.value(each, (*path, index)) for index, each in enumerate(node.value)]
        assert isinstance(node, ScalarNode)
        return self.scalar(node, path)

    def mapping(self, node: MappingNode, path: KeyPath) -> dict[str, Any]:
        """Return the mapping of a node. A repeated key keeps its first value."""
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            place = _place(key_node.start_mark)
            key = self.scalar(key_node, path) if isinstance(key_node, ScalarNode) else key_node.value
            if not isinstance(key, str):
                self.document.blame(place, path, f"expected a name as key, {found(key)}")
            elif key in data:
                self.document.blame(place, (*path, key), "expected every key once, found it again")
            else:
                self.document.keys[*path, key] = place
                data[key] = self.value(value_node, (*path, key))
        return data

    def scalar(self, node: ScalarNode, path: KeyPath) -> Any:
        """Return the meaning of a scalar. If readers disagree on it, return its text and add a problem."""
        text = str(node.value)
        is_text = node.tag == "tag:yaml.org,2002:str" and not _NEWER.fullmatch(text)
        if node.style is None and not is_text:
            try:
                return _meaning(text)
            except ValueError:
                words = f"expected a plain number, true, false, null or text in quotes, found {text[:40]}"
                words = f"{words}, which not every reader of YAML takes alike"
                self.document.blame(_place(node.start_mark), path, words)
        elif re.search("[\ud800-\udfff]", text):
            self.document.blame(_place(node.start_mark), path, "expected text, found half a character")
            return ""
        return text


def _meaning(text: str) -> Any:
    """Return the value of a plain scalar that is not text.

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


def _bound(node: Node | yaml.Event, depth: int, count: int) -> None:
    """Raise if the document is too deep or too large."""
    for much, most, words in ((depth, DEEPEST, "values within each other"), (count, MOST, "values")):
        if much > most:
            raise _TooMuchError(_place(node.start_mark), f"expected at most {most} {words}, found more")


def _place(mark: Any) -> Place:
    """Return the place of a mark of PyYAML."""
    return mark.line + 1, mark.column + 1
