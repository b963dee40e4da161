"""What to measure: the shipped suites, their schema, and plain data types.

Reading suites needs pydantic and PyYAML. So it is not imported here but from `attnbench.suites.schema.load`,
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
    """Return the files of the shipped suites by name."""
    return {path.stem: path for path in sorted(Path(__file__).parent.glob("*.yaml"))}
