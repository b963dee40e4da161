"""A case, which is one point of a suite, and names for several cases."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import groupby
from operator import itemgetter
from typing import Any, Self

from attnbench import variants
from attnbench.suites.fields import Name, read
from attnbench.variants import (
    ATTENTION,
    AXES,
    DECODE,
    DEFAULTS,
    Named,
    Parameters,
    Pattern,
    Setting,
    Shape,
    Spans,
    levels,
)

_ALWAYS = ("seq_len", "dtype", "device", "direction")
_MORE = tuple(name for name in AXES if name not in _ALWAYS)


@dataclass(frozen=True)
class Case:
    """A mechanism with all its parameters, its implementation, and a setting."""

    mechanism: Named
    implementation: str
    setting: Setting

    @cached_property
    def key(self) -> str:
        """Hash of all fields. It joins rows within a run and between runs.

        Axes and parameters that were added later are left out if they have their default, so that old keys stay valid.
        So are the names of files, which are known by their content.
        """
        told = {name: value for name, value in self.flat().items() if (name, value) not in DEFAULTS.items()}
        files = files_of(self.mechanism.name)
        told["parameters"] = {name: each for name, each in self.first_parameters.items() if name not in files}
        # 48 bits are enough: the probability that any two of 10,000 cases collide is 2e-7.
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]

    @cached_property
    def parameters(self) -> Parameters:
        """The mechanism's parameters, in the type of its variant, as the level takes them."""
        given = variants.load(self.mechanism.name).parameters(**self.mechanism.parameters)
        level = None if self.setting.level == ATTENTION else levels.read(self.setting.level)
        return level.inner.mechanism(given) if level else given

    @property
    def first_parameters(self) -> dict[str, Any]:
        """Parameters without those that were added later and have their default; all if the variant is not here."""
        try:
            known = fields(variants.load(self.mechanism.name).parameters)
        except (KeyError, TypeError):
            return dict(self.mechanism.parameters)
        later = {each.name: each.default for each in known if each.metadata.get("later")}
        return {name: value for name, value in self.mechanism.parameters.items() if (name, value) not in later.items()}

    @property
    def pattern(self) -> Pattern:
        """The pattern: which keys each query may see.

        Raises:
            TypeError: the mechanism is not a pattern.
        """
        if not isinstance(self.parameters, Pattern):
            raise TypeError(f"{self.mechanism.name}: expected a pattern, found a mechanism that is none")
        return self.parameters

    @property
    def spans(self) -> Spans | None:
        """The keys that each query of a call sees, or None if the mechanism is not a pattern."""
        parameters, setting = self.parameters, self.setting
        if not isinstance(parameters, Pattern):
            return None
        # Code under test may be older than cross-attention.
        if setting.level != ATTENTION and levels.crosses(setting):
            return Spans.across(setting.shape.seq_len, levels.keys(setting))
        found = parameters.spans(setting.shape.seq_len)
        return found.last() if setting.direction == DECODE else found

    @property
    def places(self) -> "list[Case]":
        """A case for each mechanism of a level that holds layers, in its layer and at its length; else this case."""
        level = None if self.setting.level == ATTENTION else levels.read(self.setting.level)
        if level is None or level.inner is level:
            return [self]
        places = level.places(self.setting.shape)
        return [self.changed(level=levels.written("layer", layer), shape=shape) for layer, shape in places]

    @property
    def label(self) -> str:
        """The mechanism such as `local_window(window=257)`, without parameters at their defaults and digests."""
        defaults = {each.name: each.default for each in fields(self.parameters)}
        digests = files_of(self.mechanism.name).values()
        given = self.mechanism.parameters.items()
        told = [f"{name}={written(value)}" for name, value in given if value != defaults[name] and name not in digests]
        return f"{self.mechanism.name}({', '.join(told)})" if told else self.mechanism.name

    @property
    def title(self) -> str:
        """The whole case in one line. An axis that was added later is named only if it does not have its default."""
        setting = self.setting
        words = [f"N={setting.shape.seq_len}", setting.dtype, setting.device, setting.direction]
        later = {name: value for name, value in setting.flat().items() if value != DEFAULTS.get(name, value)}
        words += [value if isinstance(value, str) else f"{name}={value}" for name, value in later.items()]
        return f"{self.label}/{self.implementation} {' '.join(words)}"

    @property
    def family(self) -> tuple[Any, ...]:
        """Everything but the length. A longer case of a family costs more."""
        return (self.mechanism, self.implementation, *self.sweep)

    @property
    def sweep(self) -> tuple[Any, ...]:
        """The setting without its length: what the cases of a sweep over lengths share."""
        return (self.setting.at(1), getattr(self.setting.shape, "padding", None))

    def changed(self, **axes: Any) -> Self:
        """Return the case with other values of fields of its setting: `case.changed(direction="forward")`."""
        return replace(self, setting=replace(self.setting, **axes))

    def flat(self) -> dict[str, Any]:
        """Return the case as flat columns or JSON fields: the mechanism, the implementation, and every axis."""
        mechanism = {"variant": self.mechanism.name, "parameters": dict(self.mechanism.parameters)}
        return {**mechanism, "implementation": self.implementation, **self.setting.flat()}

    def request(self) -> dict[str, Any]:
        """Return the case as a worker gets it, whose variants may be of a revision without later parameters."""
        return {**self.flat(), "parameters": self.first_parameters}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Self:
        """Return the case that `flat` wrote. Other fields are ignored. Axes that were added later may be missing."""
        return cls(Named(row["variant"], _paired(row["parameters"])), row["implementation"], Setting.of(row))

    @classmethod
    def read(cls, row: Any) -> Self:
        """Return the case in a row that may be invalid.

        Raises:
            ValueError: it is not a case; the message names the first wrong field.
        """
        told = read(_Told, row)
        setting = read(Setting, {**row, "shape": read(Shape, row)})
        return cls(Named(told.variant, _paired(told.parameters)), told.implementation, setting)


@dataclass(frozen=True)
class _Told:
    """Fields of a case that are not part of its setting."""

    variant: Name
    parameters: Mapping[str, Any]
    implementation: Name


def grouped(cases: Iterable[Case]) -> list[list[Case]]:
    """Group cases by their setting, in a fixed order. Only cases of the same setting are timed against each other."""

    def by_setting(case: Case) -> str:
        return repr(case.setting)

    return [list(group) for _, group in groupby(sorted(cases, key=by_setting), key=by_setting)]


def probing_order(cases: Iterable[Case]) -> list[Case]:
    """Sort cases by length. Within a length, cases with the same oracle result are adjacent, to compute it once."""
    cases = list(cases)
    # Cases that differ in implementation alone have equal results.
    results = [replace(case, implementation="").key for case in cases]
    firsts: dict[str, int] = {}
    places = [firsts.setdefault(result, place) for place, result in enumerate(results)]
    lengths = [case.setting.shape.seq_len for case in cases]
    return [case for _, _, case in sorted(zip(lengths, places, cases, strict=True), key=itemgetter(0, 1))]


def names(points: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a unique name for each point: `local_window(window=65)/blockwise N=512 float32 cpu forward`.

    A point has the flat fields of a case and its `label`. Other axes are added if points differ in them: `... heads=4`.
    """
    return [
        f"{point['label']}/{point['implementation']} {setting}"
        for point, setting in zip(points, settings(points), strict=True)
    ]


def names_of(cases: Sequence[Case]) -> list[str]:
    """Return a unique name for each case, as `names` does."""
    return names([{**case.flat(), "label": case.label} for case in cases])


def settings(points: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the setting of each point in words: `N=512 float32 cpu forward`."""
    varied = [name for name in _MORE if len({point[name] for point in points}) > 1]
    always = "N={seq_len} {dtype} {device} {direction}"
    words = ({**point, "level": levels.brief(point["level"])} for point in points)
    return [" ".join([always.format(**each), *(f"{name}={each[name]}" for name in varied)]) for each in words]


def written(value: Any) -> str:
    """Return a parameter's value as a suite writes it, but a pair as `7x7`, without a space that would split a word."""
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


def _paired(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters with pairs as tuples. JSON has them as lists."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in dict(parameters).items()}


def files_of(variant: str) -> dict[str, str]:
    """Return the parameters of a variant that are files, each with the parameter that has the digest of its content.

    There are none if the variant is not here.
    """
    try:
        known = fields(variants.load(variant).parameters)
    except (KeyError, TypeError):
        return {}
    return {each.name: each.metadata["digest"] for each in known if each.metadata.get("digest")}
