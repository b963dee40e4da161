"""The JSON Schema of suites, for editors and other readers.

It accepts what the loader accepts, as far as JSON Schema can say it. The loader alone knows that

- kv_heads divides every number of heads, and the exponents of pow2 ascend;
- the baseline is a variant and implementation that the suite lists;
- every exclusion matches some case, and some case is left;
- there are at most so many cases, and points in the grid of a variant;
- the parameters of a variant fit together, where a variant says when they do;
- the file is small, and every reader of YAML takes it alike.
"""

import json
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from attnbench.suites.schema.suite import Suite


class _Plain(GenerateJsonSchema):
    """Leaves out the titles that repeat the names of keys."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Never."""
        del schema
        return False


def schema() -> dict[str, Any]:
    """The schema (draft 2020-12) of suites with the variants that there are."""
    rules = Suite.model_json_schema(schema_generator=_Plain)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **rules, "title": "A suite of attnbench"}


def as_text() -> str:
    """The schema as the file `schema.json` holds it."""
    return json.dumps(schema(), indent=2) + "\n"
