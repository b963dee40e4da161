"""Checkouts of two revisions of a git repository, in folders with paths of equal length."""

import os
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

from attnbench.runner.execution.journal import make_folder

_PREPARE_S = 3600.0
_GIT_S = 600.0


class RevisionError(Exception):
    """A revision cannot be used: expected, found, what to do."""


@dataclass(frozen=True)
class Revision:
    """A revision, and the folder of its files."""

    name: str
    """As given on the command line."""
    commit: str
    tree: Path


def lay_out(repository: Path, names: tuple[str, str], folder: Path) -> tuple[Revision, Revision]:
    """Write the tracked files of both revisions into the folders `a` and `b` of `folder`.

    Raises:
        RevisionError: this is not a repository, or it has no such revision.
        FolderError: the folder cannot be written.
    """
    commits = [_commit(repository, name) for name in names]
    trees = [folder / place for place in "ab"]
    for commit, tree in zip(commits, trees, strict=True):
        make_folder(tree)
        # Use a separate index, so that the user's index and worktrees are not changed.
        index = {"GIT_INDEX_FILE": str(folder / f"{tree.name}.index")}
        _git(repository, "read-tree", commit, **index)
        _git(repository, "checkout-index", "--all", f"--prefix={tree}/", **index)
        (folder / f"{tree.name}.index").unlink()
    a, b = (Revision(*each) for each in zip(names, commits, trees, strict=True))
    return a, b


def changed(repository: Path) -> bool:
    """Check whether tracked files differ from the last commit. Such changes are in no revision."""
    return bool(_git(repository, "status", "--porcelain", "--untracked-files=no"))


def top(folder: Path) -> Path:
    """Return the repository that a folder is in.

    Raises:
        RevisionError: it is in no repository.
    """
    return Path(_git(folder, "rev-parse", "--show-toplevel"))


def import_root(revision: Revision, path: str) -> Path:
    """Return the folder of a revision at `path`, relative to the repository.

    Raises:
        RevisionError: it has no such folder.
    """
    root = revision.tree / path
    if not root.is_dir() or not root.resolve().is_relative_to(revision.tree.resolve()):
        raise RevisionError(f"--path {path}: expected a folder of {revision.name}, seen from its top, found none")
    return root


def prepare(revision: Revision, command: str) -> None:
    """Run a command in the revision's folder, to build the library.

    Raises:
        RevisionError: it failed.
    """
    try:
        words = shlex.split(command)
        if not words:
            raise ValueError("no word")
        done = subprocess.run(
            words,
            cwd=revision.tree,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_PREPARE_S,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise RevisionError(f"--prepare {command}: expected a command that ends well, found: {error}") from None
    if done.returncode:
        last = [*f"{done.stdout}\n{done.stderr}".strip().splitlines(), ""][-10:]
        output = "\n".join(last).strip()
        shown = f"its output:\n{output}" if output else "it printed nothing"
        raise RevisionError(f"--prepare {command}: exit code {done.returncode} at {revision.name}; {shown}")


def _commit(repository: Path, name: str) -> str:
    try:
        return _git(repository, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", "--")
    except RevisionError:
        raise RevisionError(
            f"{name}: expected a revision of {repository}, found none; fetch it, or name another"
        ) from None


def _git(folder: Path, *words: str, **environment: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words],
            capture_output=True,
            text=True,
            errors="surrogateescape",
            check=True,
            timeout=_GIT_S,
            env={**os.environ, **environment},
        )
    except FileNotFoundError:
        raise RevisionError("git: expected on this machine, found none; install it") from None
    except subprocess.TimeoutExpired:
        raise RevisionError(f"git {words[0]}: no answer within {_GIT_S:g} s") from None
    except subprocess.CalledProcessError as error:
        raise RevisionError(f"git {words[0]}: {error.stderr.strip() or f'exit code {error.returncode}'}") from None
    return done.stdout.strip()
