"""The command line. Each verb imports what it needs when it is called, so that `--help` is instant."""

import click

from attnbench.runner import refusal
from attnbench.runner.cli import ab, common, compare, measure, read, run


def _version(context: click.Context, option: click.Parameter, wanted: bool) -> None:
    """Show the version and exit."""
    del option
    if wanted:
        from attnbench.runner import environment

        click.echo(f"bench, version {environment.version()}")
        context.exit()


class _Verbs(click.Group):
    """Verbs whose mistakes are told also where they are made before a verb begins, or after it.

    click takes an EOFError for an interruption, and ends with 1 then, which says that something got slower.
    """

    def invoke(self, context: click.Context) -> object:
        """Call the verb."""
        refusal.do_without_threads()
        with common.told():
            return super().invoke(context)


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version.")
def main() -> None:
    """What self-attention costs: time, memory and work, checked before it is timed.

    `bench VERB --help` says how a verb exits; all of them exit with 2 for a mistake, with 130 where interrupted, and
    with 70 for a fault of attnbench.
    """


for verb in (
    *(run.run, read.report, compare.compare, compare.check, compare.baseline, ab.ab),
    *(measure.profile, read.validate, read.list_, read.show, read.schema, read.export),
    *(measure.doctor, measure.selftest),
):
    main.add_command(verb)
