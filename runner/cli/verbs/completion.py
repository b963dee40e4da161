"""`bench completion`: complete verbs, options and names of suites in a shell."""

import click

from attnbench.runner.cli.common import told


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def verb(shell: str) -> None:
    """Print the code with which SHELL completes words of bench.

    It completes verbs, options, and names of suites and variants.

    bash: eval "$(bench completion bash)" in ~/.bashrc; zsh: eval "$(bench completion zsh)" in ~/.zshrc;
    fish: bench completion fish > ~/.config/fish/completions/bench.fish

    Exit codes: 0 printed; 2 usage.
    """
    with told():
        from click.shell_completion import get_completion_class

        from attnbench.runner.cli import main

        completion = get_completion_class(shell)
        assert completion is not None
        click.echo(completion(main, {}, "bench", "_BENCH_COMPLETE").source())
