"""Entry point of a worker: puts the folder of the code under test first on the path, before other imports."""

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

_HARNESS = ("attnbench.runner", "attnbench.suites")
"""What measures comes from where the parent's comes from, whatever lies under the import root."""


def serve(root: str | None, *given: Any) -> None:
    """Become a worker (`attnbench.runner.worker.main_loop`) whose imports look under `root` first, if there is one."""
    if root is not None:
        put_first(Path(root))
    from attnbench.runner.worker import main_loop

    main_loop.serve(*given)


def put_first(root: Path) -> None:
    """Import from `root` first what is imported from now on, attnbench's own variants among it; not what measures."""
    harness = {name: _spec(name) for name in _HARNESS}
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
    """Import a package from the place that its spec names."""
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    setattr(sys.modules[name.rpartition(".")[0]], name.rpartition(".")[2], module)
    assert spec.loader is not None, name
    spec.loader.exec_module(module)
