"""Types of the choices in a suite: sizes, variants with parameters, baselines and exclusions.

All but the sizes depend on the variants and implementations that exist when a suite is read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, fields
from dataclasses import Field as DataclassField
from functools import lru_cache, partial
from itertools import chain, product
from types import GenericAlias
from typing import Annotated, Any, Literal, NamedTuple, Required

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    TypeAdapter,
    ValidationInfo,
    create_model,
)

from attnbench import variants
from attnbench.suites.problem import found
from attnbench.suites.schema import tasks
from attnbench.suites.schema.catalog import Catalog, catalog
from attnbench.suites.schema.expand import MOST_CASES, Entry
from attnbench.suites.schema.kinds import (
    Compared,
    Model,
    axes,
    kinds,
    mapping,
    one_of,
    one_or_more,
    pair,
    union,
    values,
)
from attnbench.suites.schema.padding import Paddings
from attnbench.variants import (
    ATTENTION,
    NO_PADDING,
    OWN,
    WRITTEN,
    Setting,
    Shape,
    Variant,
    kernels,
    levels,
    mechanism_peers,
)
from attnbench.variants.levels._learning import Learning

LONGEST_POWER = 24
"""The longest sequence is 2 to this power."""
MOST_EXCLUSIONS = 100


def _ascending(powers: tuple[int, int]) -> tuple[int, int]:
    """Return the exponents if they are in ascending order, or raise."""
    if powers[0] > powers[1]:
        raise ValueError(f"expected exponents in ascending order, found {powers[0]} before {powers[1]}")
    return powers


def _key(kind: Any, doc: str, default: Any = MISSING) -> Any:
    """Return a key of a mapping, with its type, its meaning, and its default if it has one."""
    if default is MISSING:
        return Required[Annotated[kind, Field(description=doc)]]
    return Annotated[kind, Field(description=doc, json_schema_extra={"default": default})]


_EXPONENTS: Any = Annotated[pair(0, LONGEST_POWER), AfterValidator(_ascending)]
_POWERS: Any = mapping(
    "Powers",
    {"pow2": _key(_EXPONENTS, "The first and the last exponent.")},
    description="Powers of two: `{pow2: [9, 14]}` is 512, 1024, ... 16384.",
)


def _lengths(value: Any) -> Any:
    """Return the lengths of powers of two. Other values are returned as they are."""
    if not isinstance(value, Mapping):
        return value
    first, last = TypeAdapter(_POWERS).validate_python(value)["pow2"]
    return [2**power for power in range(first, last + 1)]


def _divide(kv_heads: tuple[int, ...] | None, info: ValidationInfo) -> tuple[int, ...] | None:
    """Return the numbers of key heads if each divides every number of heads, or raise."""
    for few in kv_heads or ():
        for heads in info.data.get("heads", ()):
            if heads % few:
                raise ValueError(f"expected a divisor of heads = {heads}, found {few}")
    return kv_heads


def _sizes() -> Any:
    """Return the model of the axes of a shape. Key heads may be null, lengths powers of two, and paddings mappings."""
    known = axes(Shape)
    (kv_heads, divisors), (seq_len, _) = known["kv_heads"], known["seq_len"]
    known["kv_heads"] = (
        Annotated[kv_heads | None, AfterValidator(_divide)],
        Field(default=None, description=divisors.description),
    )
    powers = BeforeValidator(_lengths, json_schema_input_type=seq_len | _POWERS)
    of_data = "N, the sequence length; left out at level task, whose data fixes it."
    known["seq_len"] = Annotated[seq_len, powers] | None, Field(default=None, description=of_data)
    padding = known["padding"][1].description
    unpadded = Field(default=(NO_PADDING,), description=padding, json_schema_extra={"default": None})
    known["padding"] = Paddings, unpadded
    return create_model(
        "Sizes", __base__=Model, __doc__="The sizes of queries `B H N D`; every combination is measured.", **known
    )


Sizes: Any = _sizes()


def _tuple(kind: Any) -> Any:
    return GenericAlias(tuple, (kind, ...))


def _levels() -> Any:
    """Return the type of one or more levels: names, or mappings from one name to its parameters, with lists as grids.

    They become a tuple of levels as a setting holds them.
    """
    alone = Field(description="The mechanism alone, from queries, keys and values to outputs.")
    simple = AfterValidator(lambda _: (ATTENTION,))
    known: dict[str, Any] = {ATTENTION: Annotated[mapping(ATTENTION, {}), simple, alone]}
    known |= {name: _around(name) for name in levels.names()}
    by_name = mapping("level", known, minProperties=1, maxProperties=1)

    def spelled(value: Any) -> Any:
        if isinstance(value, Mapping) and len(value) == 1:
            return value
        if not isinstance(value, str) or value not in known:
            wanted = f"one of {', '.join(known)}, or a mapping from one of them to its parameters"
            raise ValueError(f"expected {wanted}, {found(value, list(known))}")
        return {value: {}}

    spelling = BeforeValidator(spelled, json_schema_input_type=union(Literal[tuple(known)], by_name))
    one: Any = Annotated[by_name, spelling, AfterValidator(lambda given: next(iter(given.values())))]
    many: Any = Annotated[GenericAlias(list, (one,)), Field(min_length=1)]
    listed = BeforeValidator(
        lambda value: value if isinstance(value, list | tuple) else (value,), json_schema_input_type=union(one, many)
    )
    flat = AfterValidator(lambda given: tuple(dict.fromkeys(chain.from_iterable(given))))
    return Annotated[_tuple(one), Field(min_length=1), listed, flat, PlainSerializer(_spelled)]


def _spelled(held: Sequence[str]) -> list[Any]:
    """Return levels as a suite writes them."""
    parsed = ((each.partition("(")[0], levels.read(each)) for each in held)
    return [
        {name: tasks.unspelled(asdict(level))} if level and levels.written(name, level) != name else name
        for name, level in parsed
    ]


def _around(name: str) -> Any:
    """Return the type of the mapping of a level's parameters, which is read as all levels of its grid."""
    level = levels.load(name)
    keys = {each.name: _key(_values(name, each), each.metadata["doc"], each.default) for each in fields(level)}

    def grid(given: Mapping[str, Any]) -> tuple[str, ...]:
        points = product(*(given.get(each.name, (each.default,)) for each in fields(level)))
        try:
            return tuple(levels.written(name, level(*point)) for point in points)
        except ValueError as error:
            raise ValueError(f"expected parameters that fit together, found {error}") from None

    return Annotated[mapping(name, keys), AfterValidator(grid), Field(description=levels.describe(name))]


def _values(level: str, each: "DataclassField[Any]") -> Any:
    """Return the type of one or more values of a level's parameter; what a task learns has types of its own."""
    spelled = tasks.SPELLED.get(each.name) if issubclass(levels.load(level), Learning) else None
    if spelled is None:
        return one_or_more(*values(each))
    many: Any = Annotated[GenericAlias(list, (spelled,)), Field(min_length=1)]
    listed = BeforeValidator(
        lambda value: value if isinstance(value, list | tuple) else (value,),
        json_schema_input_type=union(spelled, many),
    )
    return Annotated[_tuple(spelled), Field(min_length=1), listed]


Levels: Any = _levels()


class Choices(NamedTuple):
    """Readers of the list of variants, the baseline, the list of exclusions, and one of its entries."""

    entries: TypeAdapter[Any]
    baseline: TypeAdapter[Any]
    exclusions: TypeAdapter[Any]
    exclusion: TypeAdapter[Any]


def choices() -> Choices:
    """Return the readers for the variants that exist now; folders of variants may have been added."""
    return _choices(catalog(), tuple(kernels.names()))


@lru_cache(maxsize=1)
def _choices(there: Catalog, implementations: tuple[str, ...]) -> Choices:
    """Return the readers for these variants and implementations."""
    pairs = [f"{name}/{how}" for name, variant in there for how in variants.implementations(name, implementations)]
    some = one_or_more(one_of("baseline", *pairs, title="variant/implementation such as full/sdpa"))
    baseline: Any = Annotated[some | None, AfterValidator(lambda given: tuple(dict.fromkeys(given or ())))]
    entries: Any = Annotated[_tuple(_entry(there, implementations)), Field(min_length=1)]
    exclusion = _exclusion(there, implementations)
    exclusions: Any = Annotated[_tuple(exclusion), Field(max_length=MOST_EXCLUSIONS)]
    return Choices(*map(TypeAdapter, (entries, baseline, exclusions, exclusion)))


def _entry(there: Catalog, implementations: tuple[str, ...]) -> Any:
    """Return the type of an entry of the list of variants: a name, or a mapping from one name to its parameters."""
    simple = tuple(
        name for name, variant in there if all(each.default is not MISSING for each in fields(variant.parameters))
    )
    known = {name: _parameters(name, variant, implementations) for name, variant in there}
    by_name = mapping("variant", known, minProperties=1, maxProperties=1)

    def spelled(value: Any) -> Any:
        if isinstance(value, str):
            return {value: {}}
        if not isinstance(value, Mapping) or len(value) != 1:
            wanted = "the name of a variant, or a mapping from one name to its parameters"
            raise ValueError(f"expected {wanted}, {found(value)}")
        return value

    spelling = BeforeValidator(spelled, json_schema_input_type=Literal[simple] | by_name)
    return Annotated[by_name, spelling, AfterValidator(lambda given: next(iter(given.values())))]


def _parameters(name: str, variant: Variant, implementations: tuple[str, ...]) -> Any:
    """Return the type of the mapping of a variant's parameters, which is read as an `Entry`."""
    keys = {
        each.name: _key(one_or_more(*values(each)), each.metadata["doc"], each.default)
        for each in fields(variant.parameters)
    }
    usual = OWN if variant.build else variant.implementation
    how = one_or_more(_implementation(name, variants.implementations(name, implementations)))
    keys["implementation"] = Annotated[how, Field(**_how(usual))]
    read = AfterValidator(partial(_read, name, variant, usual))
    line = variants.describe(name).partition("\n")[0]
    return Annotated[mapping(name, keys), read, Field(description=line)]


def _how(usual: str) -> dict[str, Any]:
    """Return the description of an implementation, and its default if that is the same on every machine."""
    if usual != kernels.PREFERRED:
        return {"description": "How the variant is computed.", "json_schema_extra": {"default": usual}}
    where = f"By default {usual} if all devices are CPUs and a C++ compiler is there, else {kernels.PORTABLE}."
    return {"description": f"How the variant is computed. {where}"}


def _read(name: str, variant: Variant, usual: str, given: Mapping[str, Any]) -> Entry:
    """Return the entry with its defaults, if all points of its grid are valid."""
    parameters = {each.name: given.get(each.name, (each.default,)) for each in fields(variant.parameters)}
    entry = Entry(name, parameters, given.get("implementation", (usual,)), "implementation" not in given)
    if entry.size > MOST_CASES:
        raise ValueError(f"expected a grid of at most {MOST_CASES} points, found {entry.size}")
    for point in entry.grid():
        try:
            variant.parameters(**point)
        except (TypeError, ValueError) as error:
            told = " ".join(str(error).split())
            raise ValueError(f"expected parameters that fit together, found {told}") from None
    return entry


def _exclusion(there: Catalog, implementations: tuple[str, ...]) -> Any:
    """Return the type of an exclusion: at least one name of an axis or a parameter, with values or comparisons."""
    known: dict[str, list[Any]] = {
        "variant": [one_of("variant_name", *(name for name, _ in there))],
        "implementation": [one_of("any_implementation", *implementations, OWN, *mechanism_peers.names())],
    }
    declared = [each for each in (*fields(Shape), *fields(Setting)) if each.name in WRITTEN]
    for each in [*declared, *(each for _, variant in there for each in fields(variant.parameters))]:
        compared = [Compared] if {int, float} & set(kinds(each)) else []
        same_name = known.setdefault(each.name, [])
        same_name += [kind for kind in (*values(each, bounded=False), *compared) if kind not in same_name]

    def some(given: Mapping[str, Any]) -> Mapping[str, Any]:
        if not given:
            raise ValueError("expected at least one name, found none")
        return given

    keys = {name: one_or_more(*kinds) for name, kinds in known.items()}
    return Annotated[mapping("exclusion", keys, minProperties=1), AfterValidator(some)]


def _implementation(variant: str, names: Sequence[str]) -> Any:
    """Return the type of the name of one of a variant's implementations."""
    if OWN not in names:
        return one_of("implementation", *names)
    return one_of(OWN if list(names) == [OWN] else f"implementation_of_{variant}", *names)
