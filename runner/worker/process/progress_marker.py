"""Progress messages of a worker to its parent."""

from typing import Protocol


class Stage(Protocol):
    """Tells what is being done from now on, so that the parent knows where a death struck."""

    def __call__(self, name: str, *, anew: bool = False, aside: bool = False) -> None:
        """`anew` asks for all the time of a case from here on: a compiler's time is not the case's.

        What is done `aside` takes nothing of it, and may take as long each time that it is told: the proof does.
        """
