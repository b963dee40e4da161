"""Environments that `bench ab --env` compares: variables, and packages in virtual environments of their own."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Self

from attnbench.runner.workers.starting import Interpreter
from attnbench.variants import MOST_THREADS

CURRENT = "the current environment"
_PIP_S = 3600.0
_THREADS = "OMP_NUM_THREADS"
_VARIABLE = re.compile(r"([A-Za-z_]\w*)=(?!=)(.*)", re.ASCII | re.DOTALL)
_ERROR = re.compile(r"error:", re.IGNORECASE)
_PARENTS = """\
import json, site
folders = site.getsitepackages() + ([site.getusersitepackages()] if site.ENABLE_USER_SITE else [])
print(json.dumps(folders))
"""
_PATH = "import json, sys, sysconfig; print(json.dumps([sysconfig.get_path('purelib'), sys.path[1:]]))"


class EnvironmentRefused(Exception):
    """An environment cannot be used: expected, found, what to do."""


@dataclass(frozen=True)
class Wanted:
    """An environment as `--env` asks for it."""

    name: str
    requirements: tuple[str, ...] = ()
    """What pip is to install in place of what is there."""
    variables: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `numpy==2.1 OMP_NUM_THREADS=1`: words separated by spaces, with quotes as in a shell.

        NAME=VALUE is an environment variable. Any other word is a requirement of pip.

        Raises:
            EnvironmentRefused: the text asks for nothing, or for what cannot be done.
        """
        try:
            words = shlex.split(text)
        except ValueError as error:
            raise EnvironmentRefused(f"--env {text}: expected closed quotes, found: {error}") from None
        if not words:
            raise EnvironmentRefused("--env: expected requirements such as numpy==2.1, or NAME=VALUE, found neither")
        for word in words:
            if word.startswith("-"):
                raise EnvironmentRefused(
                    f"--env {text}: expected requirements or NAME=VALUE, found the option {word}; "
                    "options of pip are variables, such as PIP_FIND_LINKS=wheels"
                )
        found = {word: _VARIABLE.fullmatch(word) for word in words}
        variables = {match[1]: match[2] for match in found.values() if match}
        for name in variables:
            if name.islower():
                raise EnvironmentRefused(
                    f"--env {text}: expected a variable in capital letters, found {name}; "
                    f"for a version write {name}==..."
                )
        threads = variables.get(_THREADS, "1")
        if not re.fullmatch(r"[0-9]{1,9}", threads) or not 1 <= int(threads) <= MOST_THREADS:
            raise EnvironmentRefused(
                f"--env {_THREADS}={threads}: expected a number of threads from 1 to {MOST_THREADS}, found {threads!r}"
            )
        return cls(text, tuple(word for word in words if not found[word]), variables)


@dataclass(frozen=True)
class Environment:
    """An environment that workers can be started in."""

    name: str = CURRENT
    variables: Mapping[str, str] = field(default_factory=dict)
    interpreter: Interpreter | None = None
    """None: the interpreter of `bench` itself."""

    @property
    def threads(self) -> int | None:
        """The number of threads that it sets for `threads: auto`; None if it sets none."""
        return int(self.variables[_THREADS]) if _THREADS in self.variables else None

    def versions(self) -> dict[str, str]:
        """Return the version of each package that can be imported, by name. Packages first on the path win."""
        path = sys.path if self.interpreter is None else list(self.interpreter.path)
        found: dict[str, str] = {}
        for each in metadata.distributions(path=path):
            found.setdefault(each.name.lower().replace("_", "-"), each.version)
        return dict(sorted(found.items()))


def make(wanted: Wanted, folder: Path) -> Environment:
    """Return the environment that is asked for. Its packages are installed into `folder`, if it has any.

    What is not asked for is imported from the environment of `bench`.

    Raises:
        EnvironmentRefused: a package cannot be installed.
    """
    if not wanted.requirements:
        return Environment(wanted.name, wanted.variables)
    _run(wanted, sys.executable, "-m", "venv", "--without-pip", str(folder))
    program = str(folder / "bin" / "python")
    own, _ = json.loads(_run(wanted, program, "-c", _PATH))
    # The lines of a .pth file that begin with `import` are run. Unlike a folder that is just named in it, an added
    # folder also has its own .pth files read, and with them what is installed there for editing.
    parents = json.loads(_run(wanted, sys.executable, "-c", _PARENTS))
    lines = [f"import site; site.addsitedir({each!r})\n" for each in parents]
    Path(own, "parent.pth").write_text("".join(lines), encoding="utf-8")
    _run(wanted, sys.executable, "-m", "pip", "--python", program, "install", "--", *wanted.requirements)
    if any(each.name == "attnbench" for each in metadata.distributions(path=[own])):
        raise EnvironmentRefused(
            f"--env {wanted.name}: expected packages other than attnbench, which measures both sides; "
            "compare its revisions with bench ab BASE --path typings"
        )
    _, path = json.loads(_run(wanted, program, "-c", _PATH))
    # What is asked for comes before PYTHONPATH too.
    first = (own, *(each for each in path if each != own))
    return Environment(wanted.name, wanted.variables, Interpreter(program, first))


def _run(wanted: Wanted, *words: str) -> str:
    """Run a step of an installation and return its output.

    Raises:
        EnvironmentRefused: it failed; the message has the last line of its errors.
    """
    quiet = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PIP_NO_COLOR": "1"}
    try:
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_PIP_S,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **quiet, **wanted.variables},
        )
    except subprocess.TimeoutExpired:
        raise EnvironmentRefused(f"--env {wanted.name}: not installed within {_PIP_S:g} s") from None
    if done.returncode:
        lines = [line.strip() for line in f"{done.stdout}\n{done.stderr}".splitlines() if line.strip()]
        errors = [line for line in lines if _ERROR.match(line)] or lines or [f"exit code {done.returncode}"]
        raise EnvironmentRefused(f"--env {wanted.name}: expected packages that pip can install, found: {errors[-1]}")
    return done.stdout
