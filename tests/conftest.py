"""What every test runs under: a seed, no hypothesis deadline, threads and compilers as in a worker, GPU tests only
with a GPU, pages in a browser where there is one.
"""

import os
import sys
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import browsing
import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser

os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # OpenMP reads it once, when torch is loaded
os.environ["RAY_AUTH_MODE"] = "disabled"  # else a token in the home folder, which Ray may leave there, is asked for
os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # so does torch's compiler, when it is

settings.register_profile("attnbench", deadline=None, database=None, derandomize="CI" in os.environ)
settings.load_profile("attnbench")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip the tests marked `gpu` where there is no CUDA device; `-m gpu` asks for them, and then that is an error."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked or _has_cuda():
        return
    if config.option.markexpr == "gpu":
        raise pytest.UsageError("-m gpu: expected a CUDA device, found none; the tests marked gpu cannot run here")
    for item in marked:
        # CI and most machines have no GPU; whoever has one runs these by `make gpu`, where their absence is an error.
        item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


def _has_cuda() -> bool:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a driver that is too old warns: that is no CUDA device, not an error
        return bool(torch.cuda.is_available())


@pytest.fixture(autouse=True)
def _seed() -> None:
    """Start every test at the same state of torch's generator, where torch is loaded."""
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """A browser for the tests of a module.

    Playwright holds an event loop for as long as it runs, so that no other test could start one: no longer than this.
    """
    with browsing.chromium() as found:
        yield found


@pytest.fixture
def visit(browser: "Browser") -> Iterator[browsing.Visit]:
    """Open local pages; a page that complains or asks the network for something fails the test."""
    visit = browsing.Visit(browser)
    yield visit
    for context in browser.contexts:
        context.close()
    assert visit.problems == []
