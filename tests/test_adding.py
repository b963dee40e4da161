"""What one file is enough for, by CONTRIBUTING: it is written into a copy of the tree, and what it adds is there."""

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


def draw(run):
    return panels.blank("Mine", panels.context(run), "It is drawn.")
'''
VERB = (
    '"""Mine."""\n\nimport click\n\n\n@click.command()\ndef verb():\n    """Say mine.\n\n    Exit codes: 0 said."""\n'
)
BENCH = ["-m", "attnbench.runner"]
PAGE = ["-c", "from pages import suites, variants; print(variants.text(), *variants.pictures(), suites.text())"]
REPORT = [
    "-c",
    "from pathlib import Path; import rows; from attnbench.reports import load; from attnbench.reports.pages import "
    "run_report; print(run_report.write(load(rows.write(Path('it'), rows.QUIET))).read_text(), *Path('it').rglob('*'))",
]
TRIED = ["-c", "from definitions import CASES, points; print(CASES, points(['mine', 'eager'], (5,), taken=True))"]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The tree, to be added to."""
    for room in ("variants", "suites", "runner", "reports"):
        shutil.copytree(ROOT / room, tmp_path / "attnbench" / room, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


@pytest.mark.parametrize(
    ("file", "text", "command", "said"),
    [
        ("variants/mine.py", VARIANT, [*BENCH, "list"], "  mine: Mine: a query sees itself"),
        ("variants/mine.py", VARIANT, [*BENCH, "schema"], '"mine"'),
        ("variants/mine.py", VARIANT, PAGE, "figures/variants/mine.svg"),
        ("variants/mine.py", VARIANT, TRIED, "('mine', {}, 'eager', 5)"),
        ("variants/kernels/mine.py", IMPLEMENTATION, [*BENCH, "list"], " mine, "),
        ("variants/kernels/mine.py", IMPLEMENTATION, TRIED, "('full', {}, 'mine', 5)"),
        ("suites/mine.yaml", SUITE, [*BENCH, "list"], "  mine: "),
        ("suites/mine.yaml", SUITE, [*BENCH, "validate", "mine"], "1 cases"),
        ("reports/export/formats/mine.py", FORMAT, [*BENCH, "export", "--help"], "mine"),
        ("reports/figures/mine.py", FIGURE, REPORT, "![mine](figures/mine.svg)\n\nMine is read so."),
        ("reports/figures/mine.py", FIGURE, REPORT, "it/figures/mine.svg"),
        ("runner/cli/verbs/mine.py", VERB, [*BENCH, "--help"], "  mine      Say mine."),
    ],
)
def test_one_file_is_enough(copy: Path, file: str, text: str, command: list[str], said: str) -> None:
    (copy / "attnbench" / file).write_text(text)
    path = os.pathsep.join(map(str, (copy, ROOT / "tests")))
    done = subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
        cwd=copy,
    )
    assert done.returncode == 0, done.stderr
    assert said in done.stdout
