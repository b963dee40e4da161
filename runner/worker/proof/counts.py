"""Checks what a kernel reports of itself: computed pairs and prepared bytes."""

import operator

from attnbench.variants.kernels import Program


def of(program: Program, least: int) -> tuple[int | None, int]:
    """The computed pairs, at least as many as are allowed or None where nobody knows them, and the prepared bytes.

    Raises:
        ValueError: one of them cannot be true.
    """
    pairs = None if program.computed_pairs is None else _integer(program.computed_pairs)
    if program.computed_pairs is not None and (pairs is None or pairs < least):
        raise ValueError(
            f"computed_pairs: expected None or an integer of at least {least}, found {program.computed_pairs!r}"
        )
    prepared = _integer(program.prepared_bytes)
    if prepared is None or prepared < 0:
        raise ValueError(f"prepared_bytes: expected an integer of at least 0, found {program.prepared_bytes!r}")
    return pairs, prepared


def _integer(value: object) -> int | None:
    """An integer of Python's or NumPy's as such; None of anything else."""
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type]  # that is the question
    except TypeError:
        return None
