"""The command line. Each verb imports what it needs when it runs, so that `--help` is fast."""

import importlib
from pathlib import Path

import click

from attnbench.runner.cli import common
from attnbench.runner.machine import system_errors


def _version(context: click.Context, option: click.Parameter, wanted: bool) -> None:
    """Show the version and exit."""
    del option
    if wanted:
        from attnbench.runner.machine import environment

        click.echo(f"bench, version {environment.version()}")
        context.exit()


class _Verbs(click.Group):
    """The verbs, found by the names of their files. Errors outside of a verb are reported like errors in a verb.

    This is needed because click treats EOFError as an interruption and exits with 1, which means "slower" here.
    """

    def list_commands(self, _context: click.Context) -> list[str]:
        """The names of the verbs."""
        return sorted(path.stem for path in (Path(__file__).parent / "verbs").glob("[a-z]*.py"))

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """The verb of this name."""
        if name not in self.list_commands(context):
            return None
        command: click.Command = importlib.import_module(f"{__name__}.verbs.{name}").verb
        command.name = name
        return command

    def invoke(self, context: click.Context) -> object:
        """Call the verb."""
        system_errors.do_without_threads()
        with common.told():
            return super().invoke(context)


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version.")
def main() -> None:
    """Measure the time, memory and work of self-attention. Results are checked before they are timed.

    `bench VERB --help` lists exit codes. Every verb exits with 2 for a usage error, 130 if interrupted, and 70 for a
    fault of attnbench.
    """
