"""What one file is enough for, by CONTRIBUTING: it is written into a copy of the tree, and what it adds is there."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
VARIANT = '''"""Mine: a query sees itself and the key before.

    o_i = sum_j softmax_j(q_i . k_j / sqrt(D)) v_j,   i - 1 <= j <= i

Source: nobody.
"""

from dataclasses import dataclass

import numpy as np

from attnbench.variants import Pattern, Spans, Variant


@dataclass(frozen=True)
class Mine(Pattern):
    """Query i sees keys i - 1 and i."""

    def spans(self, n: int) -> Spans:
        """One span a row."""
        i = np.arange(n)
        return Spans.of(n, (i - 1, i + 1))


VARIANT = Variant(Mine, source="nobody")
'''
IMPLEMENTATION = '"""Mine."""\n\nfrom attnbench.variants.kernels.eager import build, predict_bytes, supports\n'
SUITE = "name: mine\nquestion: Is one file enough?\nshape: {seq_len: 64}\nvariants: [full]\n"
FORMAT = '"""Mine."""\n\nPASSED_ONLY = False\n\n\ndef write(run, journal):\n    return "mine"\n'
FIGURE = '''"""Mine."""

from attnbench.reports.drawing import panels

PLACE = 0
READING = "Mine is read so."


def applies(run):
    return True


def draw(run, width=None):
    return panels.blank("Mine", panels.context(run), "It is drawn.")
'''
VERB = (
    '"""Mine."""\n\nimport click\n\n\n@click.command()\ndef verb():\n    """Say mine.\n\n    Exit codes: 0 said."""\n'
)
FILES = {
    "variants/mine.py": VARIANT,
    "variants/kernels/mine.py": IMPLEMENTATION,
    "variants/peers/ours.py": IMPLEMENTATION,
    "suites/mine.yaml": SUITE,
    "reports/export/formats/mine.py": FORMAT,
    "reports/figures/mine.py": FIGURE,
    "runner/cli/verbs/mine.py": VERB,
}
LOOK = """
import json
from pathlib import Path
from commands import bench
from definitions import CASES, takers
from pages import suites, variants
import rows
from attnbench.reports import load
from attnbench.reports.pages import run_report
from attnbench.variants import kernels

report = run_report.write(load(rows.write(Path("it"), rows.QUIET))).read_text()
print(json.dumps({
    **{words: bench(*words.split())[1] for words in (
        "list", "schema", "validate mine", "export --help", "--help"
    )},
    "page of variants": variants.text() + str([*variants.pictures()]),
    "page of suites": suites.text(),
    "report": report,
    "files of the report": str([*Path("it").rglob("*")]),
    "tried": str([(name, given, takers(kernels.names(), name, given, 5)) for name, given in CASES]),
}))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a copy of the tree says, to which each of the files was added."""
    copy = tmp_path_factory.mktemp("copy")
    for room in ("variants", "suites", "runner", "reports"):
        shutil.copytree(ROOT / room, copy / "attnbench" / room, ignore=shutil.ignore_patterns("__pycache__"))
    for file, text in FILES.items():
        (copy / "attnbench" / file).write_text(text)
    path = os.pathsep.join(map(str, (copy, ROOT / "tests")))
    environment = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, "-c", LOOK]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=copy)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    ("file", "where", "said"),
    [
        ("variants/mine.py", "list", "  mine: Mine: a query sees itself"),
        ("variants/mine.py", "schema", '"mine"'),
        ("variants/mine.py", "page of variants", "figures/variants/mine.svg"),
        ("variants/mine.py", "tried", "('mine', {}, ['blockwise', "),
        ("variants/kernels/mine.py", "list", " mine, "),
        ("variants/kernels/mine.py", "tried", "'mine', "),
        ("variants/peers/ours.py", "list", " ours, "),
        ("suites/mine.yaml", "list", "/attnbench/suites/mine.yaml"),
        ("suites/mine.yaml", "page of suites", "Is one file enough?"),
        ("suites/mine.yaml", "validate mine", "1 cases"),
        ("reports/export/formats/mine.py", "export --help", "mine"),
        ("reports/figures/mine.py", "report", "![mine](figures/mine.svg)\n\nMine is read so."),
        ("reports/figures/mine.py", "files of the report", "it/figures/mine.svg"),
        ("runner/cli/verbs/mine.py", "--help", "  mine        Say mine."),
    ],
)
def test_one_file_is_enough(told: dict[str, str], file: str, where: str, said: str) -> None:
    assert said in told[where]
