"""What people get besides the wheel: completion in a shell, the reference to cite, and containers."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import commands
import pytest
import yaml

from attnbench import variants
from attnbench.suites import shipped

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PATH on which `bench` is this code."""
    folder = tmp_path_factory.mktemp("bin")
    (folder / "bench").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m attnbench.runner "$@"\n')
    (folder / "bench").chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["bench", "com"], ["compare", "completion"]),
        (["bench", "run", "qui"], ["quick"]),
        (["bench", "run", "lra_efficiency"], ["lra_efficiency", "lra_efficiency_gpu"]),
        (["bench", "run", "quick", "--dry"], ["--dry-run"]),
        (["bench", "ab", "--en"], ["--env"]),
        (["bench", "show", "local"], ["local_window", "local_window_2d"]),
        (["bench", "check", "runs/now", "--format", "j"], ["json", "junit"]),
        (["bench", "run", "no_such_suite"], []),
    ],
)
def test_bash_completes(path: str, words: list[str], found: list[str]) -> None:
    script = f"""
    eval "$(bench completion bash)"
    complete -p bench > /dev/null || exit 1
    compopt() {{ :; }}    # is refused outside of a completion
    COMP_WORDS=({" ".join(words)}) COMP_CWORD={len(words) - 1}
    _bench_completion bench
    printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == found


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed_for_each_shell(shell: str) -> None:
    code, said = commands.bench("completion", shell)
    assert code == 0
    assert f"_BENCH_COMPLETE={shell}_complete" in said
    assert commands.bench("completion", "csh")[0] == 2


def test_names_that_are_completed_exist() -> None:
    assert {"quick", "lra_efficiency", "lra_efficiency_gpu"} <= shipped().keys()
    assert {"local_window", "local_window_2d"} <= set(variants.names())


def test_the_reference_says_what_the_project_says() -> None:
    """The keys of version 1.2.0 of the format that are required, and no others than it knows."""
    told = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert told["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= told.keys()
    assert told["type"] in ("software", "dataset")
    assert all(set(author) <= {"name", "given-names", "family-names", "orcid", "website"} for author in told["authors"])
    assert (told["version"], told["license"]) == (PROJECT["version"], PROJECT["license"])
    assert told["keywords"] == PROJECT["keywords"]
    known = {"cff-version", "message", "title", "abstract", "type", "authors", "version", "license", "keywords"}
    assert told.keys() <= known


def test_there_is_a_container_for_each_device() -> None:
    assert [each.name for each in DOCKERFILES] == ["cpu.Dockerfile", "cuda.Dockerfile"]


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_a_container_is_made_with_care(file: Path) -> None:
    """The base is pinned, nothing is cached, and bench does not run as root. Nothing here can build it."""
    text = file.read_text()
    lines = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)).splitlines()
    told = [(word, rest) for word, _, rest in (line.partition(" ") for line in lines if line)]
    names = [word for word, _ in told]
    assert set(names) <= {"FROM", "ENV", "RUN", "WORKDIR", "COPY", "USER", "ENTRYPOINT", "CMD"}
    base = dict(told)["FROM"]
    version = re.fullmatch(r"python:(3\.\d+)\.\d+-slim-bookworm", base)
    assert version, base
    assert f"Programming Language :: Python :: {version[1]}" in PROJECT["classifiers"]
    runs = [rest for word, rest in told if word == "RUN"]
    installs = [run for run in runs if "apt-get install" in run]
    assert all("--no-install-recommends" in run and run.endswith("rm -rf /var/lib/apt/lists/*") for run in installs)
    assert "PIP_NO_CACHE_DIR=1" in dict(told)["ENV"]
    assert all("-c constraints.txt" in run for run in runs if "pip install" in run)
    assert names.index("USER") > max(at for at, name in enumerate(names) if name == "RUN"), "everything runs as a user"
    assert dict(told)["USER"] == "1000"
    assert dict(told)["ENTRYPOINT"] == '["bench"]'
    assert "do not build this image" in text


def test_a_container_gets_no_more_than_the_tree() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {".git", ".venv", "build", "runs"} <= set(ignored)
    assert not {"constraints.txt", "pyproject.toml", "README.md", "LICENSE"} & set(ignored)
