"""What the pages say of the command line is true."""

import re
import shlex
from importlib import metadata
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

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


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_a_page_is_one(line: str) -> None:
    """Its verb exists, and so do its options; a suite that it names is valid."""
    verb, *words = shlex.split(line, comments=True)[1:]
    command = main.commands[verb]
    if isinstance(command, click.Group):
        command, words = command.commands[words[0]], words[1:]
    options = {name for parameter in command.params for name in parameter.opts}
    assert {word.split("=")[0] for word in words if word.startswith("-")} <= options | {"--help"}
    for word in words:
        if word.startswith("suites/"):
            assert (ROOT / word).is_file()


VERBS = [
    each
    for name, command in sorted(main.commands.items())
    for each in ([[name, inner] for inner in command.commands] if isinstance(command, click.Group) else [[name]])
]


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_every_verb_explains_itself_and_its_exit_codes(verb: list[str]) -> None:
    done = CliRunner().invoke(main, [*verb, "--help"])
    assert done.exit_code == 0
    assert "Exit codes: 0" in " ".join(done.output.split())


@pytest.mark.parametrize("verb", sorted(main.commands))
def test_every_verb_is_in_the_readme(verb: str) -> None:
    assert f"bench {verb}" in (ROOT / "README.md").read_text()


def test_the_version_is_told_without_an_install_too(monkeypatch: pytest.MonkeyPatch) -> None:
    done = CliRunner().invoke(main, ["--version"])
    assert (done.exit_code, done.output) == (0, f"bench, version {metadata.version('attnbench')}\n")

    def version(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", version)
    assert CliRunner().invoke(main, ["--version"]).output == "bench, version from source\n"


def test_a_wrong_verb_is_one_line() -> None:
    done = CliRunner().invoke(main, ["rum"])
    assert done.exit_code == 2
    assert "No such command" in done.output
    assert not isinstance(done.exception, click.ClickException)


SUITES = re.findall(r"^```yaml\n(name:.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("text", SUITES, ids=lambda text: str(text).splitlines()[0])
def test_a_suite_of_the_readme_is_valid(text: str) -> None:
    from attnbench.suites.load import parse

    assert parse(text, "README.md").cases()


def test_the_readme_shows_a_suite() -> None:
    assert SUITES


POLICIES = re.findall(r"^```yaml\n(check:.*?)^```", (ROOT / "docs" / "ci.md").read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("text", POLICIES)
def test_a_policy_of_the_page_is_valid(text: str) -> None:
    from attnbench.suites.load import parse

    suite = "name: x\nquestion: Why?\nshape: {heads: 1, head_dim: 8, seq_len: 16}\nvariants: [full]\n"
    assert parse(suite + text, "docs/ci.md").check.time.severity == "fail"


def test_the_workflow_of_the_page_is_yaml_and_runs_verbs_that_there_are() -> None:
    import yaml

    (text,) = re.findall(
        r"^```yaml\n(name: speed.*?)^```", (ROOT / "docs" / "ci.md").read_text(), re.MULTILINE | re.DOTALL
    )
    steps = yaml.safe_load(text)["jobs"]["speed"]["steps"]
    (line,) = (step["run"] for step in steps if step.get("run", "").startswith("bench "))
    test_a_command_of_a_page_is_one(line)
