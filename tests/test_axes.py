"""An axis is declared once: a copy of the rooms with one field more has it everywhere."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import rows

ROOT = Path(__file__).resolve().parents[1]
FIELD = (
    '    kv_len: int | None = axis("Keys, where they are more or fewer than queries.", default=None, maximum=2**24)\n'
)
PARAMETER = '    sinks: int = parameter("keys that all see", default=0, minimum=0, later=True)\n'
SUITE = """
name: more
question: Does one field make an axis?
shape: {seq_len: [64, 128], kv_len: [null, 32]}
variants: [full]
exclude:
  - {kv_len: "< 33", seq_len: 128}
"""
LOOK = """
import json, sys
from dataclasses import replace
from pathlib import Path
from attnbench.reports.findings.run import load
from attnbench.reports.data.settings import settings
from attnbench.reports.export.formats import csv
from attnbench.suites.case import names
from attnbench.suites.selection import Narrowing
from attnbench.suites.schema.load import parse
from attnbench.suites.schema.schema import schema

suite, folder = parse(sys.argv[1]), Path(sys.argv[2])
cases = suite.cases()
every = parse(sys.argv[1].partition("exclude:")[0]).cases()
meta = json.loads((folder / "run.json").read_text())
for each in meta["cases"][::2]:
    each["kv_len"] = 32
(folder / "run.json").write_text(json.dumps(meta))
run = load(folder)
print(json.dumps({
    "titles": [case.title for case in cases],
    "keys": [case.key for case in every],
    "names": names([{"label": case.label, **case.flat()} for case in cases]),
    "narrowed": [case.title for case in Narrowing(words="kv_len=32").of(cases)],
    "groups": len({case.setting for case in every}),
    "columns": csv.write(run, None).splitlines()[0].split(","),
    "settings": [each.title for each in settings(run.frame)],
    "schema": schema()["$defs"]["Sizes"]["properties"]["kv_len"]["description"],
}))
"""
KEYS = """
import sys
from attnbench.suites.schema.load import parse
print(*(case.key for case in parse(sys.argv[1]).cases()))
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The rooms as they are, to be changed."""
    for room in ("variants", "suites", "runner", "reports"):
        shutil.copytree(ROOT / room, tmp_path / "attnbench" / room, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def python(copy: Path, code: str, *words: str | Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    command = [sys.executable, "-c", code, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_field_of_the_shape_is_an_axis(copy: Path, tmp_path: Path) -> None:
    from attnbench.suites.schema.load import parse

    file = copy / "attnbench" / "variants" / "_setting.py"
    text = file.read_text()
    assert "    layout: Layout = axis(" in text
    file.write_text(text.replace("    layout: Layout = axis(", FIELD + "    layout: Layout = axis("))
    folder = rows.write(tmp_path / "run", rows.QUIET)
    found = json.loads(python(copy, LOOK, SUITE, folder))
    title = "full/sdpa N={} float32 cpu forward{}"
    assert found["titles"] == [title.format(64, ""), title.format(128, ""), title.format(64, " kv_len=32")]
    without = parse(SUITE.partition("exclude:")[0].replace(", kv_len: [null, 32]", "")).cases()
    assert found["keys"][:2] == [case.key for case in without], "at its default it is in no key"
    assert len(set(found["keys"])) == found["groups"] == 4
    assert found["names"][2].endswith("kv_len=32")
    assert found["narrowed"] == [found["titles"][2]]
    assert "kv_len" in found["columns"]
    assert sorted(each.count("kv_len=32") for each in found["settings"]) == [0, 1]
    assert found["schema"].startswith("Keys, where")


def test_a_parameter_that_is_added_later_changes_no_key(copy: Path) -> None:
    from attnbench.suites.schema.load import parse

    file = copy / "attnbench" / "variants" / "full.py"
    text = file.read_text()
    assert "    def spans(" in text
    file.write_text(text.replace("    def spans(", f"{PARAMETER}\n    def spans(", 1))
    suite = "name: n\nquestion: Q?\nshape: {seq_len: 64}\nvariants: [{full: {PARAMETERS}}]\n"
    told = python(copy, KEYS, suite.replace("PARAMETERS", "sinks: [0, 4]")).split()
    (before,) = parse(suite.replace("PARAMETERS", "causal: false")).cases()
    assert told[0] == before.key
    assert len(set(told)) == 2
