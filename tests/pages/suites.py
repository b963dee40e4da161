"""docs/suites.md: every key of a suite, from the schema, and every shipped suite."""

import json
from collections.abc import Mapping
from itertools import takewhile
from typing import Any

from definitions import CUDA_PEERS

from attnbench.reports.text import escape, phrases
from attnbench.suites import shipped
from attnbench.suites.schema.catalog import NAMES
from attnbench.suites.schema.limits import METRICS
from attnbench.suites.schema.load import load
from attnbench.suites.schema.schema import schema
from attnbench.variants import levels, peers, tasks

_MOST_NAMES = 8
"""A longer list of names is replaced by an example."""
_HEAD = """\
# Suites

A suite is one YAML file that describes the whole experiment. `bench validate SUITE.yaml` lists every mistake with line
and column. `bench schema` prints a JSON Schema, so editors can complete and check suites:

```yaml
# yaml-language-server: $schema=./schema.json
name: mine
question: Does a window pay at the lengths of my model, and does it in training?
shape: {batch: 2, heads: 8, head_dim: 64, seq_len: [512, 1024, 2048]}
direction: [forward, training]
variants:
  - full: {implementation: [eager, sdpa]}
  - local_window: {window: [65, 257]}
baseline: full/sdpa
exclude:
  - {implementation: eager, seq_len: "> 1024"}
measure: {processes: 5, values: 10, value_ms: 10}
budget: {case_s: 60, suite_s: 1800, memory: 80%}
```

A *case* is one variant with parameters, implementation, shape, dtype, device, direction and threads. Every
combination of lists is measured.
"""

_SHIPPED = """\
## Shipped suites

`bench run NAME` runs a suite by name, and stops after `budget.suite_s`.
"""

_KEYS = """\
## Keys

In parentheses: values; default.
"""

_INPUTS = """\
### `inputs`

[Errors against full attention](method.md#error-against-full-attention) are computed on drawn inputs, or on those in
your file. Times and proofs always use drawn inputs. The format is safetensors, which cannot run code:

```python
safetensors.torch.save_file({"q": q, "k": k, "v": v}, "qkv.safetensors")
```

- `q` has the shape `B H N D`, `k` and `v` have the shape `B K N D`, in float64, float32, float16 or bfloat16. All
  numbers are finite.
- A case takes the first batch entries, heads and positions. The file must have enough for every case, the same
  head_dim, and as many heads for each key head.
- The file lies in the folder of the suite or below it. Without SUITE, `--resume` looks for it in the current folder.
- `run.json` holds its path and SHA-256. A run is resumed only with the same file.
"""

_PADDING = """\
### `padding`

Sequences of different lengths in a batch: `padding: {least: 0.5, seed: 0}` draws them, one for each sequence, and
`padding: {lengths: [512, 300]}` lists them. Each sequence fills the first of its N places ([what is
computed](method.md#padding)). A list makes an axis: `padding: [null, {least: 0.5}]`. Reports and `exclude` write
paddings as `none`, `padded(least=0.5)`, `padded(least=0.5, seed=1)` and `padded(lengths=512x300)`.
"""

_MEASURE = """\
`bench ab` and `bench selftest` use only `value_ms`, as the shortest warm-up; they choose [the number of
processes](trust.md) themselves.
"""

_CHECK = """\
### `check`

What `bench check` accepts, by metric, with defaults. `severity` is `fail`, `warn` or `ignore`, `relative` a percentage,
`absolute` a time (`50us`) or a size (`4GiB`).
"""

_CHECK_CASES = """\
`cases` has other limits for some cases, such as short and noisy ones; `where` is as in an entry of
[`exclude`](#exclude):

```yaml
check:
  time: {relative: 10%, severity: fail}
  cases:
    - {where: {seq_len: "<= 512"}, time: {relative: 30%}}
    - {where: {variant: topk, dtype: bfloat16}, time: {severity: warn}, memory: {relative: 1%}}
```

What an entry does not set stays. If several entries match a case and set the same key, the last one holds. An entry
that matches no case is an error. `bench ab` uses `cases` alone, and no `absolute` of times.
"""

_VARIANTS = """\
### `variants`

A list of variants: a name, `full`, or a name with parameters, `local_window: {{window: 65}}`. Lists of values make a
grid: `local_window: {{window: [65, 257], causal: [false, true]}}` is four variants. `implementation` is one or a list
of {implementations}. The default is `sdpa` for `full`, `blockwise` for `graph`, `sdpa_masked` for `alibi` and
`eager` for `softcap`. For other patterns it is [`native`](method.md#native) if all devices are CPUs, nothing decodes
and there is a C++ compiler when the suite is read, else `blockwise`; `run.json` keeps the choice. For your own variants
use `bench run SUITE.yaml --variants FOLDER`.
[Variants](variants.md) lists the parameters.

A baseline may be a list, `[full/sdpa, full/native]`. Settings that differ in length alone take the one with the smaller
geometric mean of times over the lengths at which all passed, and tables name the others with their speeds.

{peers} are the attention of other projects. They need `pip install 'attnbench[peers]'` and are proved like every other
implementation. {cuda_peers} also need a GPU; [their packages](gpu.md#packages-of-other-projects) are in no extra. Of
other variants, `linformer`, `nystromformer` and `reformer` have such implementations beside `own`; on a GPU,
`gated_delta`, `gated_linear`, `linear` and `retention` do.
"""

_EXCLUDE = """\
### `exclude`

A list of entries. A case that matches every key of an entry is left out. Keys are parameters of variants and {axes}. A
value may be a list, or for numbers a quoted comparison with `>`, `>=`, `<`, `<=`, `=`, `==` or `!=`, the
signs of [conditions](columns.md#conditions): `{{variant: full, seq_len: "> 4096"}}`. An entry that matches no case is
an error, and so is excluding every case.
"""

_LEVELS = """\
A name, such as `layer`, or a name with parameters: `{layer: {positions: [none, rotary]}}`. A list of values makes
several levels, and so does a list of levels. With `attention`, the mechanism stands alone. Reports and `exclude` write
levels as `layer` and `layer(positions=rotary)`. A variant that is a whole layer, such as `lstm`, exists from `layer` on
without its positions; in an `encoder` it stands in place of the attention layer.

In the decoder of an `encoder_decoder` every mechanism is causal, so it needs the parameter `causal`.
`eager` and `sdpa_masked` compute `positions: relative`, for patterns. `attention: masked` needs a mechanism with the
parameter `causal`. `attention: cross` needs `full`, in `eager`, `sdpa` or one of its forced kernels, or `linear`, and
has no positions. What does not exist is `unsupported`.
"""

_REFUSED = """\
## Restrictions

Tags, merge keys, repeated keys, keys that are not text, and scalars that YAML 1.1, YAML 1.2 and JSON read differently
(`yes`, `1_000`, `010`, `0o17`, `1:30`, `1e3`, `2001-01-01`, `.inf`) are refused. Limits: 1 MiB, 2,000 values, 20
levels, 10,000 cases before exclusions. Reading a suite runs and writes nothing ([tested](trust.md#robustness)).
"""


_DATA = """\
### `data`

What models [learn](tasks.md#data) at the levels `task` and `sequence_task`: a name, `data: digits`, or a mapping from
one to its parameters, `data: {mqar: {pairs: 16}}`. `search` is a mapping, `search: {lr: [0.001, 0.003]}`. `lr` may have
a rate for each variant: `lr: {others: 0.003, lstm: 0.01}`.
"""


def text() -> str:
    """The page."""
    rules = schema()
    known = rules["$defs"]
    parts = [_HEAD, _SHIPPED, _suites(), _KEYS, _keys(rules, known), _levels(known), _data(known)]
    for name in ("shape", "measure", "budget"):
        part = _followed(rules["properties"][name], known)
        parts += [f"### `{name}`\n", _keys(part, known)]
        parts += [_PADDING, _keys(known["padding"], known), _INPUTS] if name == "shape" else []
        parts += [_MEASURE] if name == "measure" else []
    parts += [_CHECK, _check(_followed(rules["properties"]["check"], known), known), _CHECK_CASES]
    parts += [
        _VARIANTS.format(
            implementations=_implementations(known), peers=_peers(on_cuda=False), cuda_peers=_peers(on_cuda=True)
        )
    ]
    parts += [_EXCLUDE.format(axes=", ".join(f"`{name}`" for name in NAMES)), _REFUSED]
    return "\n".join(parts)


def _peers(*, on_cuda: bool) -> str:
    """The peers that need a GPU, or the others."""
    return phrases.listed([f"`{name}`" for name in peers.names() if (name in CUDA_PEERS) == on_cuda])


def _levels(known: Mapping[str, Any]) -> str:
    """The levels around attention, with their parameters."""
    parts = ["### `level`\n", _LEVELS]
    for name in levels.names():
        parts += [f"`{name}`: {_sentence(levels.describe(name))}\n", _keys(known[name], known)]
    return "\n".join(parts)


def _data(known: Mapping[str, Any]) -> str:
    """The kinds of data, with their parameters."""
    parts = [_DATA]
    for name in tasks.names():
        parts += [f"`{name}`: {_sentence(tasks.describe(name))}\n", _keys(known[f"data_{name}"], known)]
    return "\n".join(parts)


def _check(node: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    """The metrics, with the defaults of their keys."""
    lines = []
    for name, below in node["properties"].items():
        if name not in METRICS:
            continue
        limit = _followed(below, known)
        keys = ((key, _default(key, each, {}, below)) for key, each in limit["properties"].items())
        defaults = ", ".join(f"{key} {default.removeprefix('default ')}" for key, default in keys)
        lines.append(f"- `{name}` ({defaults}): {_sentence(below.get('description') or limit['description'])}")
    return "\n".join(lines) + "\n"


def _suites() -> str:
    """The shipped suites: question, the comment at the top of the file, and size."""
    lines = []
    for name, path in shipped().items():
        suite = load(path)
        # Only the comment at the top is about the suite; later ones are about a key.
        top = takewhile(lambda line: line.startswith("# "), suite.source.splitlines()[1:])
        head = " ".join(line.removeprefix("# ") for line in top)
        size = f"{len(suite.cases())} cases, limit {suite.budget.suite_s / 60:.3g} min"
        lines.append(f"- `{name}`: {suite.question} {head} ({size})")
    return "\n".join(lines) + "\n"


def _keys(node: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    """The keys of a mapping as a list: values, default and meaning."""
    lines = []
    for name, below in node["properties"].items():
        meaning = below.get("description") or _followed(below, known).get("description", "")
        lines.append(f"- `{name}` ({takes(below, known)}; {_default(name, below, node)}): {_sentence(meaning)}")
    return "\n".join(lines) + "\n"


def _default(
    name: str, below: Mapping[str, Any], node: Mapping[str, Any], parent: Mapping[str, Any] | None = None
) -> str:
    """A key's default as a suite writes it; one that its parent gives comes first."""
    given = (parent or {}).get("default", {})
    if name in given or "default" in below:
        value = given.get(name, below.get("default"))
        return "see below" if isinstance(value, dict) else f"default `{_written(value)}`"
    return "required" if name in node.get("required", ()) else "see below"


def takes(node: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    """The values of a key in words."""
    words = list(dict.fromkeys(_words(node, known)))
    lists = [each for each in words if each.startswith("a list of ")]
    scalars = [each for each in words if each not in lists]
    for within in (scalars, [each for each in scalars if each != "`null`" and not each.startswith("`{")]):
        joined = " or ".join(within)
        if lists == [f"a list of {joined}"]:
            return " or ".join([f"{joined} or list", *(each for each in scalars if each not in within)])
    return " or ".join(words)


def _words(node: Mapping[str, Any], known: Mapping[str, Any]) -> list[str]:
    """Each kind of value that a node takes."""
    if "$ref" in node:
        return _words(_followed(node, known), known)
    if "anyOf" in node:
        return [word for each in node["anyOf"] for word in _words(each, known)]
    if "properties" in node:
        return ["`{pow2: [9, 14]}`"] if "pow2" in node["properties"] else ["a mapping"]
    if "enum" in node:
        names = [f"`{_written(each)}`" for each in node["enum"]]
        return [", ".join(names) if len(names) <= _MOST_NAMES else f"a name such as {names[0]}"]
    if "const" in node:
        return [f"`{_written(node['const'])}`"]
    if "prefixItems" in node:
        first, *_ = (_words(each, known) for each in node["prefixItems"])
        return [f"a pair of {' or '.join(first).replace('integer', 'integers')}"]
    if node.get("type") == "array":
        inside = _words(node["items"], known)
        return ["a list, see below"] if "a mapping" in inside else [f"a list of {' or '.join(inside)}"]
    return [_scalar(node)]


def _scalar(node: Mapping[str, Any]) -> str:
    """A number, text, a flag or nothing."""
    kind = node.get("type")
    if "title" in node:
        return str(node["title"]).replace('"', "`")
    if kind in ("integer", "number"):
        odd = "odd " if "not" in node else ""
        return f"{odd}{kind} {node['minimum']:,} to {node['maximum']:,}"
    if kind == "boolean":
        return "`true` or `false`"
    if kind == "null":
        return "`null`"
    return "text"


def _implementations(known: Mapping[str, Any]) -> str:
    """The names of implementations."""
    return ", ".join(f"`{each}`" for each in known["implementation"]["enum"])


def _followed(node: Mapping[str, Any], known: Mapping[str, Any]) -> Mapping[str, Any]:
    """A node, or what it refers to."""
    target: Mapping[str, Any] = known[node["$ref"].removeprefix("#/$defs/")] if "$ref" in node else node
    return target


def _written(value: Any) -> str:
    """A value as a suite writes it."""
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value)


def _sentence(description: str) -> str:
    """A description on one line."""
    return escape.text(" ".join(description.split()), longest=None).replace("\\`", "`")
