"""A YAML document as plain data, with the place of every value.

The document must mean the same to every reader of YAML 1.1, YAML 1.2 and JSON. So tags are refused, and so are
merge keys, repeated keys, keys that are not text, and plain scalars that readers disagree on: `yes`, `1_000`,
`010`, `0o17`, `0x1f`, `1:30`, `1e3`, `2001-01-01`, `.inf`. A number without a fraction is an integer: `512.0` is 512.
Anchors and aliases are resolved. Size, depth and number of values are bounded.
"""

import re
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from attnbench.suites.problem import KeyPath, Problem, found, shown
from attnbench.suites.schema.plain import is_text, meaning

LONGEST = 2**20
"""Characters in a document."""
DEEPEST = 20
"""Values within values."""
MOST = 2_000
"""Values in a document, aliases resolved."""

Place = tuple[int, int]
"""Line and column, counted from 1."""


@dataclass
class Document:
    """Plain data: mappings, lists, text, numbers, flags, null.

    `places` and `keys` hold where the value and the key of a path stand.
    """

    file: str
    data: Any = None
    places: dict[KeyPath, Place] = field(default_factory=dict)
    keys: dict[KeyPath, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def blame(self, place: Place, path: KeyPath, text: str) -> None:
        """Note a problem."""
        self.problems.append(Problem(self.file, *place, path, text))


class _TooMuchError(Exception):
    """The document is deeper or larger than allowed; reading stops."""

    def __init__(self, node: Node | yaml.Event, text: str) -> None:
        self.place, self.text = _place(node.start_mark), text


class _Composer(yaml.SafeLoader):
    """PyYAML's loader up to nodes, which notes explicit tags and stops at what is too deep or too large."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = self.count = 0
        self.tags: list[tuple[Place, str]] = []

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]  # so in its stub
        if getattr(event, "tag", None) is not None:
            self.tags.append((_place(event.start_mark), event.tag))
        self.depth += 1
        self.count += 1
        _bound(event, self.depth, self.count)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def read(text: str, file: str) -> Document:
    """The data of a document, as far as it can be read, and what is wrong with it as YAML."""
    document = Document(file)
    if len(text) > LONGEST:
        document.blame((1, 1), (), f"expected at most {LONGEST} characters, found {len(text)}")
        return document
    try:
        _read(text, document)
    except _TooMuchError as error:
        document.blame(error.place, (), error.text)
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        place = before.count("\n") + 1, len(before) - before.rfind("\n")
        document.blame(place, (), f"expected printable text, found the character {error.character:#x}")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = " ".join(f"{error.context or ''} {error.problem or ''}".split())
        document.blame(_place(mark) if mark else (1, 1), (), f"expected YAML, found a mistake: {reason}")
    return document


def _read(text: str, document: Document) -> None:
    """Fill in the document."""
    composer = _Composer(text)
    try:
        node = composer.get_single_node()
    except (ValueError, OverflowError):
        # PyYAML lets Python's own errors through for numbers in escapes and directives.
        place = _place(composer.get_mark())
        return document.blame(place, (), "expected YAML, found a number in an escape or a directive that is too large")
    for place, tag in composer.tags:
        document.blame(
            place,
            (),
            f"expected a plain value, found the tag {shown(tag.replace('tag:yaml.org,2002:', '!!'))}; remove it",
        )
    if node is None:
        return document.blame((1, 1), (), "expected a suite, found an empty document")
    document.data = _Reader(document).value(node, ())
    return None


class _Reader:
    """Turns nodes into data."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.count = 0

    def value(self, node: Node, path: KeyPath) -> Any:
        """The value of a node."""
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
        """The mapping of a node; a repeated key keeps its first value."""
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
        """The one meaning of a scalar, or a problem."""
        text = str(node.value)
        if node.style is None and not is_text(node):
            try:
                return meaning(text)
            except ValueError:
                self.document.blame(
                    _place(node.start_mark),
                    path,
                    f"expected a plain number, true, false, null or text in quotes, found {text[:40]}, "
                    "which not every reader of YAML takes alike",
                )
        elif not _encodes(text):
            self.document.blame(_place(node.start_mark), path, "expected text, found half a character")
            return ""
        return text


def _bound(node: Node | yaml.Event, depth: int, count: int) -> None:
    """Stop at what is too deep or too large."""
    if depth > DEEPEST:
        raise _TooMuchError(node, f"expected at most {DEEPEST} values within each other, found more")
    if count > MOST:
        raise _TooMuchError(node, f"expected at most {MOST} values, found more")


def _place(mark: Any) -> Place:
    """Where a mark of PyYAML points."""
    return mark.line + 1, mark.column + 1


def _encodes(text: str) -> bool:
    """Whether text is made of whole characters: an escape can write one half of a surrogate pair."""
    return not re.search("[\ud800-\udfff]", text)
