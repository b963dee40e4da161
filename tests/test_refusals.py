"""What the system refuses is told in one line, and never costs more than the case at hand."""

import errno
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import click
import pytest
from click.testing import CliRunner
from matplotlib.figure import Figure
from refusing import Refusal, begun, can_refuse, told

from attnbench.reports.drawing import saving
from attnbench.runner.cli import common, main
from attnbench.runner.cli.verbs import doctor
from attnbench.runner.machine import system_errors

IMPORT = "libthing.so.1: failed to map segment from shared object: Cannot allocate memory"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.EAGAIN, "Resource temporarily unavailable"), ["Resource temporarily", "ulimit -u"]),
        (OSError(errno.EMFILE, "Too many open files", "/x"), ["Too many open files (/x)", "ulimit -n"]),
        (OSError(errno.EIO, "Input/output error"), ["Input/output error", "bench doctor"]),
        (MemoryError(), ["no memory", "ulimit -v"]),
        (SystemError("error return without exception set"), ["no memory", "ulimit -v"]),
        (RuntimeError("can't start new thread"), ["thread", "ulimit -u"]),
        (ImportError(IMPORT), ["libthing.so.1", "ulimit -v"]),
        (ModuleNotFoundError("No module named 'scipy'"), ["scipy", "install"]),
    ],
)
def test_what_is_refused_comes_with_what_to_do(error: Exception, words: list[str]) -> None:
    @click.command()
    def verb() -> None:
        with common.told():
            raise error

    said = system_errors.of(error) or ""
    assert [each for each in words if each not in said] == []
    done = CliRunner().invoke(verb)
    assert done.exit_code == 2
    assert len(done.output.splitlines()) == 1


def test_whatever_follows_a_lack_of_memory_is_that() -> None:
    nonsense = TypeError("'frame' object is not callable")
    nonsense.__context__ = KeyError("x")
    nonsense.__context__.__context__ = SystemError("error return without exception set")
    assert "no memory" in str(system_errors.of(nonsense))


@pytest.mark.parametrize("error", [RuntimeError("no"), EOFError(), ImportError("cannot import name 'x'"), KeyError(1)])
def test_a_fault_of_our_own_is_none_of_the_system(error: Exception) -> None:
    assert system_errors.of(error) is None


def test_an_end_of_file_is_no_interruption(monkeypatch: pytest.MonkeyPatch) -> None:
    """For click that is an interruption: it would say "Aborted!", and end with the code of a regression."""

    def ends(*given: object, **named: object) -> None:
        raise EOFError("marshal data too short")

    monkeypatch.setattr(doctor.verb, "invoke", ends)
    done = CliRunner().invoke(main, ["doctor"])
    assert done.exit_code == 70
    assert "Aborted" not in done.output


@pytest.mark.parametrize("after", [None, RuntimeError("failed to load glyph")], ids=["drawn", "not drawn"])
def test_a_font_that_cannot_be_read_is_an_error_of_the_disk(tmp_path: Path, after: Exception | None) -> None:
    """FreeType reads fonts for matplotlib, which cannot raise what happens there."""

    def draw() -> Figure:
        error = OSError(errno.EIO, "Input/output error")
        sys.unraisablehook(cast(Any, SimpleNamespace(exc_value=error)))
        if after is not None:
            raise after
        return Figure()

    usual = sys.unraisablehook
    with pytest.raises(OSError, match="Input/output error"):
        saving.save({"drawn": draw}, tmp_path)
    assert sys.unraisablehook is usual


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Calls of the parent before the first line of ours."""
    return begun(tmp_path_factory.mktemp("begun"))


@pytest.mark.skipif(not can_refuse(), reason="needs strace, and leave to trace")
@pytest.mark.parametrize(
    ("refused", "codes"),
    [
        # No process at all; one less, and another is tried.
        (Refusal("vfork", "EAGAIN", 1, lasting=True), {2}),
        pytest.param(Refusal("vfork", "ENOMEM", 2), {0}, marks=pytest.mark.slow),
        pytest.param(Refusal("clone", "EAGAIN", 1, everywhere=True, lasting=True), {2}, marks=pytest.mark.slow),
        # No thread, in workers; one less, where numerical libraries are loaded first.
        pytest.param(Refusal("clone3", "ENOMEM", 1, everywhere=True), {0, 2}, marks=pytest.mark.slow),
        (Refusal("clone3", "EAGAIN", 1, everywhere=True, lasting=True), {2}),
        (Refusal("socketpair", "EMFILE", 1, lasting=True), {2}),
        pytest.param(Refusal("pipe2", "EMFILE", 1, lasting=True), {2}, marks=pytest.mark.slow),
        (Refusal("flock", "ENOLCK", 1, lasting=True), {2}),
        (Refusal("rename", "EACCES", 1, lasting=True), {2}),
        # While modules are imported; some of what is opened there may be done without.
        (Refusal("openat", "EMFILE", 40), {0, 2}),
        pytest.param(Refusal("read", "EIO", 30), {0, 2}, marks=pytest.mark.slow),
        (Refusal("mmap", "ENOMEM", 60), {0, 2}),
    ],
    ids=str,
)
def test_what_the_system_refuses_is_one_line_or_nothing(
    tmp_path: Path, before: dict[str, int], refused: Refusal, codes: set[int]
) -> None:
    first = 0 if refused.everywhere else before.get(refused.call, 0)
    code, wrong = told(tmp_path, "run", replace(refused, number=first + refused.number))
    assert wrong == []
    assert code in codes
