"""The stages of a probe, for tests that call one in their own process."""


def unheard(name: str, *, anew: bool = False, aside: bool = False, share: float | None = None) -> None:
    """Told to nobody."""
