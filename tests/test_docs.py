"""What the pages say of the command line is true."""

import os
import re
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner

from attnbench.reports.compare import comparison
from attnbench.reports.data import frame, reading
from attnbench.reports.history import tables
from attnbench.runner.cli import main

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]
COMMANDS = [
    pytest.param(line.strip(), id=f"{page.name}: {line.strip()}")
    for page in PAGES
    for block in re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
    if line.strip().startswith("bench ")
]


CONTEXT = click.Context(main)
COMMAND = {name: command for name in main.list_commands(CONTEXT) if (command := main.get_command(CONTEXT, name))}


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_a_page_is_one(line: str) -> None:
    """Its verb exists, and so do its options; a suite that it names is valid."""
    verb, *words = shlex.split(line, comments=True)[1:]
    command = COMMAND[verb]
    if isinstance(command, click.Group):
        command, words = command.commands[words[0]], words[1:]
    options = {name for parameter in command.params for name in parameter.opts}
    assert {word.split("=")[0] for word in words if word.startswith("-")} <= options | {"--help"}
    for word in words:
        if word.startswith("suites/"):
            assert (ROOT / word).is_file()


VERBS = [
    each
    for name, command in sorted(COMMAND.items())
    for each in ([[name, inner] for inner in command.commands] if isinstance(command, click.Group) else [[name]])
]


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_every_verb_explains_itself_and_its_exit_codes(verb: list[str]) -> None:
    done = CliRunner().invoke(main, [*verb, "--help"])
    assert done.exit_code == 0
    assert "Exit codes: 0" in " ".join(done.output.split())


def test_the_list_of_verbs_cuts_no_line() -> None:
    listed = CliRunner().invoke(main, ["--help"], terminal_width=80).output.partition("Commands:")[2]
    assert len(listed.splitlines()) > 10
    assert "..." not in listed


@pytest.mark.parametrize("verb", sorted(COMMAND))
def test_every_verb_is_in_the_readme(verb: str) -> None:
    assert f"bench {verb}" in (ROOT / "README.md").read_text()


def test_the_version_is_told_without_an_install_too(monkeypatch: pytest.MonkeyPatch) -> None:
    done = CliRunner().invoke(main, ["--version"])
    assert (done.exit_code, done.output) == (0, f"bench, version {metadata.version('attnbench')}\n")

    def version(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", version)
    assert CliRunner().invoke(main, ["--version"]).output == "bench, version from source\n"


def test_a_fault_of_our_own_does_not_look_like_a_slow_down(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(folder: Path) -> object:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(reading, "read", broken)
    done = CliRunner().invoke(main, ["check", str(tmp_path), "--baseline", "main"])
    assert done.exit_code == 70
    assert "ZeroDivisionError: a bug" in done.output
    assert done.output.splitlines()[-1] == "a fault of attnbench, not of yours: please report it"


def test_a_wrong_verb_is_one_line() -> None:
    done = CliRunner().invoke(main, ["rum"])
    assert done.exit_code == 2
    assert done.output.splitlines()[-1].startswith("Error: No such command 'rum'")
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    ("heading", "columns"),
    [("`table.csv`", frame.COLUMNS), ("`comparison.csv`", comparison.COLUMNS), ("`history.csv`", tables.COLUMNS)],
)
def test_every_column_is_on_its_page_once(heading: str, columns: tuple[str, ...]) -> None:
    text = (ROOT / "docs" / "columns.md").read_text()
    (part,) = (each for each in text.split("\n## ") if each.startswith(heading))
    names = [name for item in re.findall(r"^- (`[^:]*`):", part, re.MULTILINE) for name in re.findall("`(.*?)`", item)]
    assert sorted(names) == sorted(columns)


SUITES = re.findall(r"^```yaml\n(name:.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("text", SUITES, ids=lambda text: str(text).splitlines()[0])
def test_a_suite_of_the_readme_is_valid(text: str) -> None:
    from attnbench.suites.schema.load import parse

    assert parse(text, "README.md").cases()


def test_the_readme_shows_a_suite() -> None:
    assert SUITES


POLICIES = re.findall(r"^```yaml\n(check:.*?)^```", (ROOT / "docs" / "ci.md").read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("text", POLICIES)
def test_a_policy_of_the_page_is_valid(text: str) -> None:
    from attnbench.suites.schema.load import parse

    suite = "name: x\nquestion: Why?\nshape: {heads: 1, head_dim: 8, seq_len: 16}\nvariants: [full]\n"
    assert parse(suite + text, "docs/ci.md").check.time.severity == "fail"


def block(page: str, language: str, begins: str) -> str:
    """The one block of a page that is in a language and begins so."""
    text = (ROOT / "docs" / page).read_text()
    (found,) = re.findall(rf"^```{language}\n({re.escape(begins)}.*?)^```", text, re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.mark.parametrize(
    ("more", "code", "annotation"),
    [
        pytest.param("", 0, "", id="a-change-of-the-documentation"),
        pytest.param("raise ValueError('no')\n", 3, "::error title=case lost::mine/own N=64", id="a-broken-kernel"),
    ],
)
def test_the_pull_request_of_the_page(tmp_path: Path, more: str, code: int, annotation: str) -> None:
    """The variant, the suite and the line of the workflow that are shown, in a clone as GitHub makes it."""
    steps = yaml.safe_load(block("ci.md", "yaml", "name: speed"))["jobs"]["speed"]["steps"]
    (line,) = (step["run"] for step in steps if step.get("run", "").startswith("bench "))
    test_a_command_of_a_page_is_one(line)
    origin = tmp_path / "origin"
    library = origin / "src" / "mylib"
    for folder in (library, origin / "bench"):
        folder.mkdir(parents=True)
    (library / "__init__.py").touch()
    (library / "kernel.py").write_text("from torch.nn.functional import scaled_dot_product_attention as attend\n")
    (origin / "bench" / "mine.py").write_text(block("ci.md", "python", '"""Attention of my library."""'))
    suite = block("ci.md", "yaml", "name: ci").replace("[512, 2048]", "64")
    (origin / "bench" / "ci.yaml").write_text(suite)
    git(origin, "init", "-q", "-b", "main")
    git(origin, "add", "-A")
    git(origin, "commit", "-qm", "base")
    git(tmp_path, "clone", "-q", str(origin), "clone")
    clone = tmp_path / "clone"
    (clone / "NEWS").write_text("new")
    with (clone / "src" / "mylib" / "kernel.py").open("a") as file:
        file.write(more)
    git(clone, "add", "-A")
    git(clone, "commit", "-qm", "head")
    told = {"BASE": "main", "GITHUB_STEP_SUMMARY": str(tmp_path / "summary")}
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=clone,
        env={**os.environ, **told, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert annotation in done.stdout
    assert (tmp_path / "summary").read_text().startswith("### attnbench (ci): ")
    assert (clone / "ab" / "comment.md").read_text().startswith("<!-- attnbench: ci -->")


@pytest.mark.slow
def test_the_history_of_the_page(tmp_path: Path) -> None:
    """The steps that are shown, on two commits of a repository that has no branch `runs` at first."""
    job = yaml.safe_load(block("ci.md", "yaml", "name: history\non:"))["jobs"]["history"]
    lines = [step["run"] for step in job["steps"] if "run" in step and not step["run"].startswith("pip ")]
    origin = tmp_path / "origin.git"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(origin)], check=True)
    for number in range(2):
        clone = tmp_path / f"clone{number}"
        git(tmp_path, "clone", "-q", str(origin), clone.name)
        folder = clone / "bench"
        folder.mkdir(exist_ok=True)
        variant = block("ci.md", "python", '"""Attention of my library."""')
        (folder / "mine.py").write_text(
            variant.replace("mylib.kernel", "torch.nn.functional").replace(
                "import attend", "import scaled_dot_product_attention as attend"
            )
        )
        suite = block("ci.md", "yaml", "name: history\nquestion").replace("[512, 2048]", "64")
        (folder / "history.yaml").write_text(suite + "measure: {processes: 2, values: 2, value_ms: 1}\n")
        (clone / "NEWS").write_text(str(number))
        git(clone, "add", "-A")
        git(clone, "commit", "-qm", str(number))
        git(clone, "push", "-q", "origin", "HEAD:main")
        for line in lines:
            done = subprocess.run(
                ["bash", "-e", "-c", line],
                cwd=clone,
                env={
                    **os.environ,
                    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                    "GITHUB_SHA": str(number),
                },
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr
        found = done.stdout.splitlines()
        assert found[0].startswith(f"history: {number + 1} run{'s' * number} of 4 cases on 1 machine")
        assert sorted(each.name for each in (clone / "site").iterdir()) == sorted(
            ["badge.json", "history.csv", "history.html", "history.md"]
        )
        assert len([*(clone / "runs").glob("*.tar.gz")]) == number + 1


def git(folder: Path, *words: str) -> None:
    names = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    subprocess.run(["git", "-C", str(folder), *names, *words], check=True)
