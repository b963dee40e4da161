"""The choices of a suite as types: variants with parameters, baselines and exclusions.

The types are made from the variants and implementations that there are when a suite is read.
"""

from dataclasses import MISSING, Field, fields
from functools import lru_cache
from typing import Any

import pydantic
from pydantic import (
    AfterValidator,
    ConfigDict,
    Discriminator,
    StrictStr,
    Tag,
    TypeAdapter,
    WithJsonSchema,
    create_model,
)

from attnbench import variants
from attnbench.suites.problem import found_variant
from attnbench.suites.schema.catalog import Catalog, catalog, kinds, leaves
from attnbench.suites.schema.expand import COMPARISON, MOST_CASES, Entry, Exclusion
from attnbench.suites.schema.values import (
    TAG,
    Leaf,
    Model,
    annotated,
    expected,
    null,
    one_of,
    one_or_more,
    scalar,
    text,
    tuple_of,
    union,
)
from attnbench.variants import AXES, OWN, Setting, Shape, Variant, kernels

COMPARED = text('a comparison such as "> 4096"', COMPARISON)

Key = tuple[Any, dict[str, Any]]
"""The type of a key's value, and what pydantic should know besides."""


class _Exclusion(Model):
    """At least one name of an axis or a parameter."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})


def entries() -> TypeAdapter[Any]:
    """The type of a suite's list of variants: an `Entry` for each."""
    return _entries(catalog(), tuple(kernels.names()))


def axes(kind: type) -> dict[str, Any]:
    """The axes of a shape or a setting as keys of a suite: a value, or a list that makes several cases."""
    known = {}
    for each in (each for each in fields(kind) if each.name in AXES):
        usual = each.metadata["usual"]
        how: dict[str, Any] = {} if usual is None else {"default": (usual,)}
        known[each.name] = (one_or_more(*leaves(each)), pydantic.Field(description=each.metadata["doc"], **how))
    return known


def baselines() -> TypeAdapter[Any]:
    """The type of a baseline: `variant/implementation`, or null."""
    return _baselines(catalog(), tuple(kernels.names()))


def exclusions() -> TypeAdapter[Any]:
    """The type of a suite's list of exclusions."""
    return _exclusions(catalog(), tuple(kernels.names()))


@lru_cache(maxsize=1)
def _entries(there: Catalog, implementations: tuple[str, ...]) -> TypeAdapter[Any]:
    """See `entries`."""
    models = {name: _entry_model(name, variant, implementations) for name, variant in there}

    def bare(name: str) -> Any:
        if name not in models:
            told = found_variant(name, list(models)).removeprefix("found ")
            raise expected(one_of(list(models)).words, instead=told)
        return TypeAdapter(models[name]).validate_python({name: {}})

    simple = [
        name for name, variant in there if all(each.default is not MISSING for each in fields(variant.parameters))
    ]
    by_name = annotated(StrictStr, AfterValidator(bare), WithJsonSchema({"enum": simple}), Tag(TAG * 2))
    by_key = (annotated(model, Tag(TAG + name)) for name, model in models.items())
    entry = annotated(union(by_name, *by_key), Discriminator(_branch))
    return TypeAdapter(annotated(tuple_of(entry), pydantic.Field(min_length=1)))


def _branch(value: object) -> str | None:
    """The branch of an entry: a bare name, or the one key of a mapping."""
    if isinstance(value, str):
        return TAG * 2
    return f"{TAG}{next(iter(value))}" if isinstance(value, dict) and len(value) == 1 else None


def _entry_model(name: str, variant: Variant, implementations: tuple[str, ...]) -> Any:
    """The type of a mapping from one variant's name to its parameters."""
    known = {each.name: _parameter(each) for each in fields(variant.parameters)}
    usual = OWN if variant.build else variant.implementation
    names = variant.implementations(implementations)
    how = {"default": (usual,), "description": "How the variant is computed."}
    parameters = _model(f"{name}_parameters", {**known, "implementation": (one_or_more(one_of(names)), how)})

    def entry(given: Model) -> Entry:
        values = _by_key(given)
        made = Entry(name, {each: values[each] for each in known}, values["implementation"])
        _fit(made, variant)
        return made

    line = variants.describe(name).partition("\n")[0]
    outer = _model(name, {name: (annotated(parameters, AfterValidator(entry)), {"description": line})})
    return annotated(outer, AfterValidator(lambda given: _by_key(given)[name]))


def _fit(entry: Entry, variant: Variant) -> None:
    """Whether all points of an entry's grid are patterns."""
    if entry.size > MOST_CASES:
        raise expected(f"a grid of at most {MOST_CASES} points", instead=str(entry.size))
    for parameters in entry.grid():
        try:
            variant.parameters(**parameters)
        except (TypeError, ValueError) as error:
            raise expected("parameters that fit together", instead=" ".join(str(error).split())) from None


def _parameter(each: "Field[Any]") -> Key:
    """One parameter as a key: a value, or a list that makes a grid."""
    default = {} if each.default is MISSING else {"default": (each.default,)}
    return one_or_more(*leaves(each)), {"description": each.metadata.get("doc"), **default}


@lru_cache(maxsize=1)
def _baselines(there: Catalog, implementations: tuple[str, ...]) -> TypeAdapter[Any]:
    """See `baselines`."""
    pairs = [f"{name}/{how}" for name, variant in there for how in variant.implementations(implementations)]
    return TypeAdapter(scalar(one_of(pairs)._replace(words="variant/implementation such as full/sdpa"), null()))


@lru_cache(maxsize=1)
def _exclusions(there: Catalog, implementations: tuple[str, ...]) -> TypeAdapter[Any]:
    """See `exclusions`."""
    known: dict[str, list[Leaf]] = {
        "variant": [one_of([name for name, _ in there])],
        "implementation": [one_of([*implementations, OWN])],
        **{each.name: _axis(each) for each in (*fields(Shape), *fields(Setting)) if each.name in AXES},
    }
    for each in (each for _, variant in there for each in fields(variant.parameters)):
        same_name = known.setdefault(each.name, [])
        compared = [COMPARED] if {int, float} & set(kinds(each)) else []
        told = {leaf.words for leaf in same_name}
        same_name += [leaf for leaf in [*leaves(each), *compared] if leaf.words not in told]
    absent = {"default_factory": lambda: None}
    model = _model("exclusion", {name: (one_or_more(*some), absent) for name, some in known.items()}, _Exclusion)
    return TypeAdapter(tuple_of(annotated(model, AfterValidator(_exclusion))))


def _axis(each: "Field[Any]") -> list[Leaf]:
    """What an exclusion may say of an axis: a value of it, or a comparison where it is a number."""
    there = leaves(each)
    return [*there, COMPARED] if int in kinds(each) else there


def _exclusion(given: Model) -> Exclusion:
    """The names that were given, and their values."""
    if not given.model_fields_set:
        raise expected("at least one name", instead="none")
    return {name: values for name, values in _by_key(given).items() if values is not None}


def _model(name: str, keys: dict[str, Key], base: type[Model] = Model) -> type[Model]:
    """A model whose keys may have any name, also those of a model's own attributes."""
    known: dict[str, Any] = {
        f"key_{key}": (kind, pydantic.Field(alias=key, **how)) for key, (kind, how) in keys.items()
    }
    return create_model(name, __base__=base, **known)


def _by_key(given: Model) -> dict[str, Any]:
    """The values of a model by the keys of the suite."""
    return {name.removeprefix("key_"): getattr(given, name) for name in type(given).model_fields}
