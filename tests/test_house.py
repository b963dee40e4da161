"""The house keeps its shape: which room imports which, what loads early, where files lie and what pages name."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAY_IMPORT = {
    "variants": {"variants"},
    "suites": {"suites", "variants"},
    "reports": {"reports", "suites", "variants"},
    "runner": {"runner", "reports", "suites", "variants"},
}
ROOMS = sorted(MAY_IMPORT)
HEAVY = {"matplotlib", "numpy", "pandas", "pydantic", "scipy", "seaborn", "torch"}
LEFT_OUT = {
    "attnbench.variants": {"torch"},
    "attnbench.variants.kernels": {"torch"},
    "attnbench.variants.mechanism_peers": {"torch"},
    "attnbench.variants.peers": {"torch"},
    "attnbench.variants.tasks": {"PIL", "sklearn", "torch"},
    "attnbench.suites": {"torch"},
    "attnbench.reports": {"bokeh", "jinja2", "torch"},
    "attnbench.runner.cli": {
        "bokeh",
        "jinja2",
        "matplotlib",
        "numpy",
        "pandas",
        "pydantic",
        "scipy",
        "seaborn",
        "torch",
    },
    "attnbench.runner.pytest_plugin": {"matplotlib", "numpy", "pandas", "pydantic", "scipy", "seaborn", "torch"},
}
RENDERING = [f"reports/{folder}" for folder in ("text", "tables", "drawing", "figures", "pages", "html", "export")]
"""What these write was computed before, in `reports/data` and `reports/findings`: no two outputs can disagree."""
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(ROOT.glob("docs/**/*.md"))]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def imported(source: str) -> Iterator[str]:
    """Every module or name imported anywhere in `source`, dotted; a relative one begins with a dot."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from (f"{module}.{alias.name}" for alias in node.names)


def against_the_arrow(room: str, source: str) -> list[str]:
    """The imports of `source`, a file of `room`, that lead into a room it may not know."""
    rooms = {name: name.split(".")[1] for name in imported(source) if name.startswith("attnbench.")}
    return sorted(name for name, other in rooms.items() if other not in MAY_IMPORT[room])


def modules(room: str) -> dict[str, Path]:
    """The modules and packages of a room, dotted, without the package's own name."""
    paths = {path: path.relative_to(ROOT).with_suffix("") for path in sources(room)}
    return {".".join(dotted.parts).removesuffix(".__init__"): path for path, dotted in paths.items()}


def folder_of(module: str, known: dict[str, Path]) -> str:
    return module if known[module].name == "__init__.py" else module.rpartition(".")[0]


def folder_imports(room: str) -> dict[str, set[str]]:
    """The folders of a room that each of its folders imports from."""
    known = modules(room)
    found: dict[str, set[str]] = {folder_of(module, known): set() for module in known}
    for module, path in known.items():
        for name in imported(text(path)):
            dotted = name.removeprefix("attnbench.")
            target = dotted if dotted in known else dotted.rpartition(".")[0]
            if target in known:
                found[folder_of(module, known)].add(folder_of(target, known))
    return {folder: others - {folder} for folder, others in found.items()}


def circles(imports: dict[str, set[str]]) -> list[str]:
    """The folders that import, by way of others, from themselves."""

    def reached(folder: str) -> set[str]:
        seen: set[str] = set()
        ahead = [*imports[folder]]
        while ahead:
            other = ahead.pop()
            if other not in seen:
                seen.add(other)
                ahead += imports[other]
        return seen

    return sorted(folder for folder in imports if folder in reached(folder))


def banned(source: str) -> list[str]:
    """The imports of `source` that are relative, or name a room without `attnbench.`."""
    return sorted(name for name in imported(source) if name.startswith(".") or name.split(".")[0] in ROOMS)


def third_party(source: str) -> set[str]:
    """The packages that `source` imports anywhere, apart from Python's own and attnbench."""
    return {name.split(".")[0] for name in imported(source)} - {*sys.stdlib_module_names, "attnbench"}


def findings(paths: Iterable[Path], look: Callable[[str], Iterable[str]]) -> dict[str, list[str]]:
    """What `look` finds in the files' text, by file; nothing is good."""
    found = {relative(path): sorted(look(text(path))) for path in paths}
    return {path: names for path, names in found.items() if names}


def loaded_by(*names: str) -> set[str]:
    """The packages that are loaded in a new interpreter once it has imported `names`."""
    code = "import json, sys\nfor name in sys.argv[1:]: __import__(name)\nprint(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code, *names], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {name.split(".")[0] for name in json.loads(done.stdout)}


def links_of(page: str) -> list[str]:
    """The files that a page links to or shows, without the place within them; its code is left out."""
    prose = re.sub(r"^```.*?^```|`[^`\n]*`", "", page, flags=re.MULTILINE | re.DOTALL)
    places = re.findall(r"\]\(\s*<?([^)\s>]+)", prose) + re.findall(r"^\[[^\]]+\]:\s*(\S+)", prose, re.MULTILINE)
    return [place.partition("#")[0] for place in places if not re.match(r"[a-z]+:|#", place)]


def made_in(page: str) -> set[str]:
    """The targets that the code of a page asks `make` for."""
    code = "\n".join(re.findall(r"^```.*?^```|`[^`\n]+`", page, flags=re.MULTILINE | re.DOTALL))
    words = " ".join(re.findall(r"\bmake((?: [\w=.\"'-]+)+)", code)).split()
    return {word for word in words if re.fullmatch(r"[a-z]+", word)}


def targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", text(ROOT / "Makefile"), re.MULTILINE))


@pytest.fixture(scope="module")
def setuptools_table() -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads(text(ROOT / "pyproject.toml"))["tool"]["setuptools"]
    return table


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_rooms_it_may_know(room: str) -> None:
    assert findings(sources(room), lambda source: against_the_arrow(room, source)) == {}


@pytest.mark.parametrize(
    "source",
    [
        "import attnbench.runner.cli",
        "from attnbench import reports",
        "from attnbench.reports.data.frame import load",
        "def late():\n    from attnbench import runner",
    ],
)
def test_an_import_against_the_arrow_is_seen(source: str) -> None:
    assert against_the_arrow("suites", source)
    assert not against_the_arrow("runner", source)


@pytest.mark.parametrize("room", ["runner", "reports"])
def test_folders_of_a_room_form_no_circle(room: str) -> None:
    assert circles(folder_imports(room)) == []


def test_a_circle_is_seen() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == ["b", "c"]
    assert len(folder_imports("runner")["runner.cli"]) > 3


def test_no_file_holds_a_banned_import() -> None:
    assert findings(sources(*ROOMS, "tests", "docs"), banned) == {}


@pytest.mark.parametrize("source", ["import variants", "from suites.case import Case", "from . import case"])
def test_a_banned_import_is_seen(source: str) -> None:
    assert banned(source)
    assert not banned("import attnbench.variants, json")


def test_variants_import_only_numpy_and_torch() -> None:
    assert findings((ROOT / "variants").glob("*.py"), lambda source: third_party(source) - {"numpy", "torch"}) == {}


def test_reports_never_import_torch() -> None:
    assert findings(sources("reports"), lambda source: third_party(source) & {"torch"}) == {}


def test_what_renders_computes_no_statistic() -> None:
    def computing(source: str) -> set[str]:
        return {name for name in imported(source) if name.startswith("attnbench.reports.stats")}

    assert computing("from attnbench.reports.stats.statistics import interval")
    assert findings(sources(*RENDERING), computing) == {}
    named = ("answer", "cells", "figures", "forms", "page", "tables")
    compared = [ROOT / f"reports/compare/{name}.py" for name in named]
    assert findings(compared, computing) == {}
    words = [path for path in sources(*RENDERING) if path.parent.name not in ("drawing", "figures")]
    words += [path for path in compared if path.stem != "figures"]
    assert findings(words, lambda source: third_party(source) & {"numpy", "scipy"}) == {}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_importing_leaves_heavy_packages_out(name: str) -> None:
    assert loaded_by(name) & LEFT_OUT[name] == set()


@pytest.mark.parametrize("room", ["variants", "suites", "reports"])
def test_every_module_of_a_room_that_does_not_measure_leaves_torch_out(room: str) -> None:
    paths = [path.relative_to(ROOT).with_suffix("") for path in (ROOT / room).rglob("*.py")]
    paths = [path for path in paths if path.stem != "__init__" and not {"kernels", "peers"} & {*path.parts}]
    names = [f"attnbench.{'.'.join(path.parts)}" for path in paths]
    assert "torch" not in loaded_by(*names)


def test_loaded_packages_are_seen() -> None:
    assert "numpy" in loaded_by("numpy")


def test_typings_link_every_room() -> None:
    links = {path.name: path.readlink().as_posix() for path in (ROOT / "typings/attnbench").iterdir()}
    assert links == {room: f"../../{room}" for room in ROOMS}


def test_every_package_is_listed(setuptools_table: dict[str, Any]) -> None:
    folders = {path.parent for path in sources(*ROOMS)}
    names = {f"attnbench.{relative(folder).replace('/', '.')}": relative(folder) for folder in folders}
    assert [relative(folder) for folder in folders if not (folder / "__init__.py").is_file()] == []
    assert sorted(setuptools_table["packages"]) == sorted(names)
    assert setuptools_table["package-dir"] == names


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_says_that_it_is_typed(room: str) -> None:
    assert (ROOT / room / "py.typed").is_file()


def test_every_test_lies_where_pytest_looks() -> None:
    told = re.compile(r"^\s*(async )?def test_|^class Test", re.MULTILINE)
    # Benchmarks are run by name: they take minutes, and are no proof of anything that a test should hold.
    benchmarks = set(sources("tests/benchmarks"))
    holding = [path for path in sources("tests", *ROOMS) if told.search(text(path)) and path not in benchmarks]
    assert Path(__file__).resolve() in holding
    assert [relative(path) for path in holding if path not in set((ROOT / "tests").glob("test_*.py"))] == []


def test_every_test_that_needs_a_gpu_is_run_by_make_gpu() -> None:
    marked = re.compile(r"^(?:@|pytestmark = )pytest\.mark\.gpu", re.MULTILINE)
    assert [relative(path) for path in sources("tests") if marked.search(text(path))] == ["tests/test_gpu.py"]


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_links_of_a_page_lead_to_files(page: Path) -> None:
    assert [link for link in links_of(text(page)) if not (page.parent / link).exists()] == []


def test_links_are_seen() -> None:
    page = "[a](docs/a.md#x) ![b](b.png 'b') [web](https://example.org) [here](#here)\n`[no](no.md)`\n\n[c]: c.md\n"
    assert links_of(page) == ["docs/a.md", "b.png", "c.md"]


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_make_targets_of_a_page_exist(page: Path) -> None:
    assert made_in(text(page)) - targets() == set()


def test_make_targets_are_seen() -> None:
    page = 'to make sense: `make test ARGS="-x"`\n```\ncd x && make PYTHON=python3.13 lint types  # both\n```\n'
    assert made_in(page) == {"test", "lint", "types"}


def test_make_targets_are_all_explained_and_phony() -> None:
    makefile = text(ROOT / "Makefile")
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert targets() == set(re.findall(r"^([a-z]+):.*## ", makefile, re.MULTILINE)) == set(phony.split())
