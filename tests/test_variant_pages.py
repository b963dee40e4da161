"""The pages on variants: the generated one is up to date, and what the other one tells to do works as it says."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from folders import forgotten
from pages import variants as page

from attnbench.runner.cli import main

DOCS = Path(__file__).resolve().parents[1] / "docs"
OWN = (DOCS / "add-a-variant.md").read_text()


def blocks(language: str) -> list[str]:
    """The code of the page on variants of one's own."""
    return re.findall(rf"^```{language}\n(.*?)^```", OWN, re.MULTILINE | re.DOTALL)


FILES = dict(zip(re.findall(r"`(mine/\w+\.py)`:\n", OWN), blocks("python"), strict=True))
SHOWN, BROKEN = blocks("text")
COMMANDS = [line for block in blocks("sh") for line in block.splitlines()]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the files of the page."""
    (tmp_path / "mine").mkdir()
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    (suite,) = blocks("yaml")
    (tmp_path / "mine.yaml").write_text(suite)
    monkeypatch.chdir(tmp_path)
    with forgotten():
        yield tmp_path


def test_the_page_of_variants_is_up_to_date() -> None:
    assert (DOCS / "variants.md").read_text() == page.text(), "run make docs"
    for path, picture in page.pictures().items():
        assert (DOCS / path).read_text() == picture, "run make docs"
    assert {f"{page.FIGURES}/{path.name}" for path in (DOCS / page.FIGURES).iterdir()} == set(page.pictures())


def test_the_page_shows_a_variant_of_each_kind() -> None:
    assert list(FILES) == ["mine/sinks.py", "mine/logsparse.py", "mine/efficient.py", "mine/encoder_block.py"]


def command(verb: str) -> list[str]:
    """The words of the page's command with this verb."""
    (found,) = (line for line in COMMANDS if line.startswith(f"bench {verb} "))
    return shlex.split(found, comments=True)[1:]


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "attnbench.runner", *words], capture_output=True, text=True, check=False
    )


def test_what_is_shown_is_what_is_printed(here: Path) -> None:
    done = bench(*command("show"))
    assert done.returncode == 0, done.stderr
    printed = [re.sub(r"\d\.\de-\d\d$", "...", line) for line in done.stdout.splitlines()]
    shown = [re.sub(r"\d\.\de-\d\d$", "...", line) for line in SHOWN.splitlines()]
    assert printed[-len(shown) :] == shown


def test_the_suite_is_valid_and_editors_learn_the_parameters(here: Path) -> None:
    done = CliRunner().invoke(main, command("validate"))
    assert done.output == "mine.yaml: 8 cases\n"
    done = CliRunner().invoke(main, command("schema"))
    assert "tokens at the start that all later ones see" in done.output


@pytest.mark.slow
def test_the_suite_is_measured(here: Path) -> None:
    done = bench(*command("run"), "--quiet")
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(here / "runs" / "mine" / "table.csv")
    assert set(table.status) == {"passed"}
    assert dict(zip(table.variant, table.implementation, strict=True)) == {
        "full": "sdpa",
        "sinks": "native",
        "logsparse": "native",
        "efficient": "own",
    }
    efficient = table.variant == "efficient"
    assert table.loc[efficient, ["allowed_pairs", "computed_pairs"]].isna().all(axis=None)
    numbers = ["time_ns", "speedup", "peak_bytes", "max_abs_error", "flops", "bound_speedup", "realised", "roof_share"]
    assert table[numbers].notna().all(axis=None)
    report = (here / "runs" / "mine" / "report.md").read_text()
    assert re.search(r"^\| efficient/own \| - \| - \|", report, re.MULTILINE)


def test_a_broken_file_is_the_line_of_the_page(here: Path) -> None:
    path = here / "mine" / "sinks.py"
    whole = 'parameter("keys up to the query, itself included", minimum=1)'
    assert whole in path.read_text()
    path.write_text(path.read_text().replace(f" = {whole}", ""))
    done = CliRunner().invoke(main, ["list", "--variants", "mine"])
    assert done.exit_code == 2
    assert done.stderr == BROKEN
