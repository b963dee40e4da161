"""Folders of variants, known for the length of a test."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import attnbench.variants


@contextmanager
def forgotten() -> Iterator[None]:
    """Whatever folders and variants are added inside, are gone afterwards."""
    path, known = list(attnbench.variants.__path__), set(sys.modules)
    try:
        yield
    finally:
        attnbench.variants.__path__[:] = path
        for name in set(sys.modules) - known:
            if name.startswith("attnbench.variants."):
                del sys.modules[name]
