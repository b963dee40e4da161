"""The suite: the variants to measure, their settings, and how to measure them."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import (
    Field,
    PrivateAttr,
    StrictInt,
    ValidationError,
    ValidationInfo,
    create_model,
    field_serializer,
    field_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from attnbench.suites.case import Case
from attnbench.suites.origin import Origin, digest
from attnbench.suites.problem import found
from attnbench.suites.schema.choices import Levels, Sizes, choices
from attnbench.suites.schema.edges import digests, with_digests
from attnbench.suites.schema.expand import MOST_CASES, Entry, Exclusion, expand, matching, size
from attnbench.suites.schema.kinds import IN_FOLDER, LARGEST, Late, Model, axes, below
from attnbench.suites.schema.limits import Budget, Check, Measure, Percent
from attnbench.variants import ONE_CLASS, WRITTEN, Setting, kernels, levels

_BELOW = below(r"\.safetensors")
_FILE = f'{IN_FOLDER}"data/model.safetensors"'
_SHARING = "full"
"""The variant of `kernels.SHARED`."""


def _usual(data: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the default baseline."""
    return ("full/sdpa",) if "full/sdpa" in _held(data.get("variants", ())) else ()


def _name(case: Case) -> str:
    """Return the variant/implementation of a case."""
    return f"{case.mechanism.name}/{case.implementation}"


def _held(entries: tuple[Entry, ...]) -> list[str]:
    """Return every variant/implementation of a suite."""
    return list(dict.fromkeys(f"{entry.variant}/{how}" for entry in entries for how in entry.implementations))


class _Head(Model):
    """What a suite is called, what it asks, and at which sizes."""

    name: str = Field(
        pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", title="up to 64 letters, digits and . _ -, a letter or digit first"
    )
    """Short name of the suite."""
    question: str = Field(pattern=r"\S", title="a question")
    """The question that the suite answers. The report begins with it."""
    if TYPE_CHECKING:
        shape: Any


if TYPE_CHECKING:
    _Axes = _Head
else:
    _known = axes(Setting)
    _Axes = create_model(
        "_Axes", __base__=_Head, shape=(Sizes, ...), **{**_known, "level": (Levels, _known["level"][1])}
    )


class Suite(_Axes):
    """Which variants of attention to measure at which sizes, and how. Made by `load`, `parse` and `from_dict`."""

    variants: Annotated[tuple[Entry, ...], Late(lambda: choices().entries)]
    """Names, or names with parameters. A list of values makes a grid."""
    baseline: Annotated[tuple[str, ...], Late(lambda: choices().baseline)] = Field(default_factory=_usual)
    """The variant/implementation that speed-ups are relative to, at the same shape; null: none. Of a list, the fastest
    over all lengths. By default full/sdpa, if it is listed."""
    exclude: Annotated[tuple[Exclusion, ...], Late(lambda: choices().exclusions)] = ()
    """Cases that match every key of an entry are left out."""
    equal_parameters: Percent | None = None
    """How far the numbers of learned weights of the cases of a setting may be from the baseline's, such as 10%; null:
    they are not compared."""
    seed: Annotated[StrictInt, Field(ge=0, le=LARGEST)] = 0
    """The seed of inputs, weights and random orders."""
    inputs: Annotated[str, Field(pattern=_BELOW, max_length=255, title=_FILE)] | None = None
    """Your own queries, keys and values for the errors against full attention; null: drawn ones."""
    measure: Measure = Measure()
    budget: Budget = Budget()
    check: Check = Check()

    _source: str = PrivateAttr("")
    _folder: Path = PrivateAttr(Path())

    def model_post_init(self, context: Any) -> None:
        """Keep the text of the file and its folder, which `load` passes."""
        self._source = (context or {}).get("source", "")
        self._folder = (context or {}).get("folder", Path())

    @field_validator("level")
    @classmethod
    def _fitted(cls, level: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        """Take out of levels what the shapes decide."""
        shape = info.data.get("shape")
        if shape is None:
            return level
        held = [(each.partition("(")[0], levels.read(each)) for each in level]
        fixed = [each is not None and each.length is not None for _, each in held]
        if shape.seq_len is None and not all(fixed):
            raise ValueError("expected shape.seq_len, because only the data of a task fixes it, found none")
        if shape.seq_len is not None and any(fixed):
            raise ValueError("expected no shape.seq_len, because the data of a task fixes it, found one")
        widths = sorted({heads * width for heads in shape.heads for width in shape.head_dim})
        fitted = [levels.written(name, each.fitted(widths, shape.batch)) if each else name for name, each in held]
        return tuple(dict.fromkeys(fitted))

    @field_validator("variants")
    @classmethod
    def _chosen(cls, variants: tuple[Entry, ...], info: ValidationInfo) -> tuple[Entry, ...]:
        """Choose the implementations that were left out, once for the suite."""
        axes = info.data.get("device", ()), info.data.get("direction", ())
        several = max(info.data.get("world", (1,))) > 1

        def chosen(entry: Entry) -> tuple[str, ...]:
            if not entry.is_usual:
                return entry.implementations
            usual = kernels.usual(entry.implementations[0], *axes)
            return (usual, kernels.SHARED) if several and entry.variant == _SHARING else (usual,)

        return tuple(replace(entry, implementations=chosen(entry), is_usual=False) for entry in variants)

    @field_validator("variants")
    @classmethod
    def _shared(cls, variants: tuple[Entry, ...], info: ValidationInfo) -> tuple[Entry, ...]:
        """Refuse processes that nothing shares, and an implementation for which there are none."""
        world = info.data.get("world", (1,))
        held = {how for entry in variants for how in entry.implementations}
        if max(world) > 1 and kernels.SHARED not in held:
            raise ValueError(f"expected {_SHARING} with {kernels.SHARED}, because world is above 1, found none")
        threads = info.data.get("threads", ())
        if max(world) > 1 and "cpu" in info.data.get("device", ()) and 1 not in threads:
            raise ValueError(
                f"expected threads: 1, alone or in a list, because of {kernels.SHARED}, found {threads[0]}"
            )
        if max(world) == 1 and held == {kernels.SHARED}:
            raise ValueError(f"expected world above 1, because of {kernels.SHARED}, found 1")
        return variants

    @field_validator("variants")
    @classmethod
    def _digested(cls, variants: tuple[Entry, ...], info: ValidationInfo) -> tuple[Entry, ...]:
        """Add the SHA-256 of every file of edges."""
        context = info.context or {}
        return with_digests(variants, context.get("edges", context.get("folder", Path())))

    @field_validator("variants")
    @classmethod
    def _few(cls, variants: tuple[Entry, ...], info: ValidationInfo) -> tuple[Entry, ...]:
        axes = {**info.data, "variants": variants}
        if _complete(axes) and size(axes) > MOST_CASES:
            raise ValueError(f"expected at most {MOST_CASES} cases, found {size(axes)} combinations")
        return variants

    @field_validator("baseline")
    @classmethod
    def _listed(cls, baseline: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        held = _held(info.data.get("variants", ()))
        for each in baseline if held else ():
            if each not in held:
                raise ValueError(f"expected one of this suite's {', '.join(held)}, {found(each, held)}")
        return baseline

    @field_validator("exclude")
    @classmethod
    def _leave_some(cls, exclude: tuple[Exclusion, ...], info: ValidationInfo) -> tuple[Exclusion, ...]:
        if not _complete(info.data):
            return exclude
        cases = expand(info.data)
        dropped = matching({case.key: case for case in cases}, exclude)
        _refuse_idle(dropped, exclude)
        gone = set().union(*dropped)
        if len(gone) == len(cases):
            raise ValueError(f"expected some case to be left, found all {len(cases)} excluded")
        for baseline in info.data.get("baseline", ()):
            against = {case.key for case in cases if _name(case) == baseline}
            if against and against <= gone:
                raise ValueError(
                    f"expected some case of the baseline {baseline} to be left, found none; name another, or null"
                )
        return exclude

    @field_validator("check")
    @classmethod
    def _match_some(cls, check: Check, info: ValidationInfo) -> Check:
        if _complete(info.data) and "exclude" in info.data:
            wanted = [entry["where"] for entry in check.cases]
            left = {case.key: case for case in _left(info.data, info.data["exclude"])} if wanted else {}
            _refuse_idle(matching(left, wanted), check.cases, "cases")
        return check

    @field_serializer("variants")
    def _entries(self, variants: tuple[Entry, ...]) -> list[dict[str, Any]]:
        return [entry.to_json() for entry in variants]

    @property
    def source(self) -> str:
        """The text of the suite's file; empty if there is none."""
        return self._source

    def cases(self) -> list[Case]:
        """Return every case once, without those excluded.

        The order is that of shapes (lengths ascending within the other sizes), dtypes, devices, directions, threads,
        and then of variants and their grids as listed.
        """
        return _left(vars(self), self.exclude)

    @field_serializer("baseline")
    def _baseline(self, baseline: tuple[str, ...]) -> str | list[str] | None:
        return list(baseline) if len(baseline) > 1 else next(iter(baseline), None)

    def baselines_of(self, case: Case) -> tuple[Case, ...]:
        """Return the cases that the speed-up of `case` may be relative to: the first of each baseline in its group."""
        held = self._baselines.get(replace(case.setting, hardware=ONE_CLASS), ())
        return tuple(each.changed(hardware=case.setting.hardware) for each in held)

    @cached_property
    def _baselines(self) -> Mapping[Setting, tuple[Case, ...]]:
        """The baselines of every group that has one."""
        firsts: dict[tuple[Setting, str], Case] = {}
        for case in self.cases():
            firsts.setdefault((case.setting, _name(case)), case)
        found: dict[Setting, list[Case]] = {}
        for (setting, name), case in firsts.items():
            if name in self.baseline:
                found.setdefault(setting, []).append(case)
        order = self.baseline.index
        return {setting: tuple(sorted(held, key=lambda case: order(_name(case)))) for setting, held in found.items()}

    @property
    def origin(self) -> Origin:
        """Where the inputs of its cases come from."""
        return Origin(self.seed, None if self.inputs is None else str((self._folder / self.inputs).absolute()))

    def input_file(self) -> dict[str, str] | None:
        """Return the name and the SHA-256 of the file of inputs, if there is one.

        Raises:
            SuiteError: the file is not valid, or does not fit some case.
        """
        if self.inputs is None:
            return None
        shapes = dict.fromkeys(case.setting.shape for case in self.cases())
        return {"file": self.inputs, "sha256": digest(self._folder / self.inputs, shapes)}

    def edge_files(self) -> dict[str, str]:
        """Return the SHA-256 of each file of edges, by its path as the suite has it."""
        return {file: sha256 for entry in self.variants for file, sha256 in digests(entry)}

    def with_processes(self, processes: int) -> Self:
        """Return the suite with another number of processes."""
        return self.model_copy(update={"measure": self.measure.model_copy(update={"processes": processes})})

    def to_json(self) -> dict[str, Any]:
        """Return the suite as JSON, with defaults. `from_dict` reads it."""
        return self.model_dump(mode="json")


def _left(axes: Mapping[str, Any], exclude: Sequence[Exclusion]) -> list[Case]:
    """Return the cases without those excluded."""
    cases = {case.key: case for case in expand(axes)}
    dropped = set[str]().union(*matching(cases, exclude))
    return [case for key, case in cases.items() if key not in dropped]


def _refuse_idle(matched: Sequence[set[str]], entries: Sequence[Any], *path: str) -> None:
    """Raise if an entry of a list matches no case; `path` is that of the list below its field."""
    text = "expected an entry that matches some case, found none; correct or remove it"
    error = PydanticCustomError("value_error", text)
    lines = [
        InitErrorDetails(type=error, loc=(*path, index), input=entries[index])
        for index, keys in enumerate(matched)
        if not keys
    ]
    if lines:
        raise ValidationError.from_exception_data("entries", lines)


def _complete(axes: Mapping[str, Any]) -> bool:
    """Check whether all axes are valid, so that cases can be made from them."""
    return axes.keys() >= {"variants", "shape", *(each.name for each in fields(Setting) if each.name in WRITTEN)}
