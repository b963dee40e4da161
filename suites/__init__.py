"""What to measure: the suites that ship, their schema, and the plain data types that travel.

Reading suites takes pydantic and PyYAML, so it is imported from where it is: `attnbench.suites.schema.load`,
`attnbench.suites.schema.suite` and `attnbench.suites.schema.schema`.
"""

from pathlib import Path

from attnbench.suites.case import Case as Case
from attnbench.suites.case import grouped as grouped
from attnbench.suites.problem import Problem as Problem
from attnbench.suites.problem import SuiteError as SuiteError
from attnbench.suites.result import Probe as Probe
from attnbench.suites.result import Result as Result
from attnbench.suites.result import Sample as Sample
from attnbench.suites.result import Status as Status


def shipped() -> dict[str, Path]:
    """The files of the suites that ship, by name."""
    return {path.stem: path for path in sorted(Path(__file__).parent.glob("*.yaml"))}
