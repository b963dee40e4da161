"""What to measure: the suites that ship, their schema, and the plain data types that travel."""

from attnbench.suites.case import Case as Case
from attnbench.suites.case import Direction as Direction
from attnbench.suites.result import Probe as Probe
from attnbench.suites.result import Result as Result
from attnbench.suites.result import Sample as Sample
from attnbench.suites.status import Status as Status
