"""The command line, called within the test's own process."""

from pathlib import Path

from click.testing import CliRunner

from attnbench.runner.cli import main


def bench(*words: str | Path) -> tuple[int, str]:
    """The exit code of `bench WORDS`, and what it prints; an error that it does not tell is raised."""
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output
