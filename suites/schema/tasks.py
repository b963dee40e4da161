"""Types of what a task learns and how it is trained, as mappings of a suite that become texts of a level."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, Required, cast

from pydantic import AfterValidator, BeforeValidator, Field, StrictFloat

from attnbench.suites.problem import found
from attnbench.suites.schema.kinds import Text, mapping, union, values
from attnbench.variants import tasks
from attnbench.variants.levels._learning import OTHERS, spelled_rates

_Rate: Any = Annotated[StrictFloat, Field(gt=0, le=1, title="a learning rate above 0, at most 1")]


def _number(value: Any) -> Any:
    """Return the number that a text is: YAML reads 1e-3 as text."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


Rate: Any = Annotated[_Rate, BeforeValidator(_number)]


def _data() -> Any:
    """Return the type of the data of a task: a name, or a mapping from one name to its parameters."""
    known = {name: _parameters(name) for name in tasks.names()}
    by_name: Any = mapping("data", known, minProperties=1, maxProperties=1)

    def spelled(value: Any) -> Any:
        if isinstance(value, str) and value in known:
            return {value: {}}
        if isinstance(value, str):
            try:
                read = tasks.read(value)
            except ValueError as error:
                raise ValueError(str(error).partition(": ")[2]) from None
            return {read.name: {each.name: getattr(read, each.name) for each in fields(read)}}
        if not isinstance(value, Mapping) or len(value) != 1:
            raise ValueError(
                f"expected one of {', '.join(known)}, or a mapping from one of them to its parameters, "
                f"{found(value, list(known))}"
            )
        return value

    spelling = BeforeValidator(spelled, json_schema_input_type=union(Text, by_name))
    return Annotated[by_name, spelling, AfterValidator(lambda given: next(iter(given.values())))]


def _parameters(name: str) -> Any:
    """Return the type of the mapping of a kind of data's parameters, which becomes its text."""
    kind = tasks.load(name)
    keys = {
        each.name: Annotated[
            union(*values(each)),
            Field(description=each.metadata["doc"], json_schema_extra=cast(Any, {"default": each.default})),
        ]
        for each in fields(kind)
    }

    def text(given: Mapping[str, Any]) -> str:
        try:
            return tasks.written(kind(**given))
        except ValueError as error:
            raise ValueError(f"expected parameters that fit together, found {error}") from None

    return Annotated[mapping(f"data_{name}", keys), AfterValidator(text), Field(description=tasks.describe(name))]


def _rates(given: Any) -> Any:
    """Return the text of learning rates by variant; a number as it is."""
    if not isinstance(given, Mapping):
        return given
    if OTHERS not in given:
        raise ValueError(f"expected the key {OTHERS}, for variants without a rate of their own, found none")
    return spelled_rates(given)


def _rates_text(value: Any) -> Any:
    """Return a mapping of what `spelled_rates` wrote, or the number that a text is."""
    if isinstance(value, str) and ":" in value:
        return {name: _number(rate) for name, rate in (each.split(":") for each in value.split())}
    return _number(value)


Data: Any = _data()
Rates: Any = Annotated[
    union(_Rate, dict[str, Rate]),
    BeforeValidator(_rates_text, json_schema_input_type=union(_Rate, dict[str, _Rate])),
    AfterValidator(_rates),
]
_Searched: Any = Annotated[list[Rate], Field(max_length=20)]
_Key: Any = Annotated[_Searched, Field(description="The learning rates to choose from.")]
_Mapping: Any = union(mapping("search", {"lr": Required[_Key]}), type(None))


def _search_mapping(value: Any) -> Any:
    """Return the mapping of a search, of which a level holds the rates as a text."""
    return {"lr": [_number(each) for each in value.split()]} if isinstance(value, str) else value


def _search_text(given: Any) -> str | None:
    """Return the text of a search's rates."""
    if given and len(given["lr"]) < 2:
        raise ValueError("expected at least two rates to search, found fewer; write lr: instead")
    return " ".join(f"{each:g}" for each in given["lr"]) if given else None


Search: Any = Annotated[
    _Mapping, BeforeValidator(_search_mapping, json_schema_input_type=_Mapping), AfterValidator(_search_text)
]
SPELLED: Mapping[str, Any] = {"data": Data, "lr": Rates, "search": Search}
"""By parameter of level `task`, the type of its value."""
_AS_MAPPINGS = {"lr": _rates_text, "search": _search_mapping}


def unspelled(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a level as a suite has them: rates by variant, and a search, as mappings."""
    return {name: _AS_MAPPINGS[name](value) if name in _AS_MAPPINGS else value for name, value in parameters.items()}
