"""Entry point of a worker, which puts the folder of the code under test first on the import path."""

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

_HARNESS = ("attnbench.runner", "attnbench.suites")
"""Packages that measure. They are the parent's, even if the import root has its own copies."""


def serve(root: str | None, *given: Any) -> None:
    """Run the main loop of a worker. If `root` is given, modules are imported from there first."""
    if root is not None:
        put_first(Path(root))
    from attnbench.runner.worker import main_loop

    main_loop.serve(*given)


def put_first(root: Path) -> None:
    """Put `root` first on the import path, also for attnbench's variants. The packages that measure stay the same."""
    harness = {name: _spec(name) for name in _HARNESS}
    # Modules of attnbench that are already loaded belong to the parent's copy.
    for name in [each for each in sys.modules if each.startswith("attnbench.") and each != __name__]:
        del sys.modules[name]
    vars(sys.modules["attnbench"]).pop("variants", None)
    sys.path.insert(0, str(root))
    importlib.invalidate_caches()
    for name, spec in harness.items():
        _load(name, spec)


def _spec(name: str) -> ModuleSpec:
    spec = importlib.util.find_spec(name)
    assert spec is not None, name
    return spec


def _load(name: str, spec: ModuleSpec) -> None:
    """Import a package from its spec, without searching the path."""
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    setattr(sys.modules[name.rpartition(".")[0]], name.rpartition(".")[2], module)
    assert spec.loader is not None, name
    spec.loader.exec_module(module)
