"""The output of `bench list`."""

from dataclasses import MISSING, Field, fields
from typing import Any

from attnbench import variants
from attnbench.suites import shipped
from attnbench.suites.case import written
from attnbench.suites.schema.catalog import catalog
from attnbench.variants import kernels


def text() -> str:
    """Variants with their parameters, implementations and suites; variants whose files are broken are left out."""
    blocks = ["variants"]
    for name, variant in catalog():
        told = variants.describe(name).partition("\n")[0]
        blocks.append(f"  {name}: {told}" if told else f"  {name}")
        blocks += [f"      {_parameter(each)}" for each in fields(variant.parameters)]
    blocks.append("implementations")
    blocks.append(f"  {', '.join(kernels.names())}")
    blocks.append("suites")
    blocks += [f"  {name}: {path}" for name, path in sorted(shipped().items())]
    return "\n".join(blocks)


def _parameter(each: "Field[Any]") -> str:
    default = "required" if each.default is MISSING else f"default {written(each.default)}"
    return f"{each.name} ({default}): {each.metadata['doc']}"
