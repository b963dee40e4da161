"""`python -m attnbench.runner`: the command line without an install."""

from attnbench.runner.cli import main

if __name__ == "__main__":
    main(prog_name="bench")
