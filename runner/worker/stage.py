"""What a worker is doing, as it tells its parent."""

from typing import Protocol


class Stage(Protocol):
    """Tells what is being done from now on, so that the parent knows where a death struck."""

    def __call__(self, name: str, *, anew: bool = False) -> None:
        """`anew` asks for all the time of a case from here on: a compiler's time is not the case's."""
