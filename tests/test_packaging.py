"""The wheel that is built from what is committed holds exactly the rooms, and works."""

import os
import shutil
import subprocess
import sys
import tomllib
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ["reports", "runner", "suites", "variants"]
pytestmark = pytest.mark.slow


def output(*command: str | Path, cwd: Path, **environment: str) -> str:
    """What `command` prints; a failure fails the test with everything it said."""
    variables = {**os.environ, **environment}
    done = subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the last commit, and nothing else."""
    if not (shutil.which("git") and (ROOT / ".git").exists()):
        # Whoever unpacked an archive has no commit to compare with; CI has, and there it is an error.
        stop = pytest.fail if "CI" in os.environ else pytest.skip
        stop("needs git and a checkout")
    folder = tmp_path_factory.mktemp("tree")
    output("git", "archive", f"--output={folder}.tar", "HEAD", cwd=ROOT)
    output("tar", "-xf", f"{folder}.tar", cwd=folder)
    return folder


@pytest.fixture(scope="module")
def project(tree: Path) -> dict[str, Any]:
    """What pyproject.toml says about the project."""
    table: dict[str, Any] = tomllib.loads((tree / "pyproject.toml").read_text())["project"]
    return table


@pytest.fixture(scope="module")
def dist(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source archive of `tree`, and the wheel that is built from the archive."""
    folder = tmp_path_factory.mktemp("dist")
    output(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, cwd=tree)
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> ZipFile:
    """The wheel of `tree`."""
    return ZipFile(next(dist.glob("*.whl")))


@pytest.fixture(scope="module")
def unpacked(wheel: ZipFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's files, as an installation has them."""
    folder = tmp_path_factory.mktemp("unpacked")
    wheel.extractall(folder)
    return folder


def test_the_wheel_holds_every_tracked_file_of_the_rooms_and_nothing_else(tree: Path, wheel: ZipFile) -> None:
    files = (path for room in ROOMS for path in (tree / room).rglob("*") if path.is_file())
    held = [name for name in wheel.namelist() if ".dist-info/" not in name]
    assert sorted(held) == sorted(f"attnbench/{path.relative_to(tree).as_posix()}" for path in files)


def test_the_metadata_say_what_the_project_says(wheel: ZipFile, project: dict[str, Any]) -> None:
    told: Message = Parser().parsestr(read(wheel, "METADATA"))
    assert (told["Name"], told["Version"]) == (project["name"], project["version"])
    assert told["Requires-Python"] == project["requires-python"]
    assert told["License-Expression"] == project["license"]
    needed = [line for line in told.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert sorted(needed) == sorted(project["dependencies"])


def test_an_index_would_take_both_archives(dist: Path) -> None:
    said = output(sys.executable, "-m", "twine", "check", "--strict", *dist.iterdir(), cwd=dist)
    assert said.count("PASSED") == 2


def test_the_wheel_carries_the_licence(tree: Path, wheel: ZipFile) -> None:
    assert read(wheel, "licenses/LICENSE") == (tree / "LICENSE").read_text()


def test_the_command_is_declared_and_runs(wheel: ZipFile, unpacked: Path) -> None:
    assert "bench = attnbench.runner.cli:main" in read(wheel, "entry_points.txt").splitlines()
    help_page = python(unpacked, "import sys; from attnbench.runner.cli import main; sys.argv[1:] = ['--help']; main()")
    assert "Usage:" in help_page


def test_pytest_finds_the_plugin(wheel: ZipFile) -> None:
    lines = read(wheel, "entry_points.txt").splitlines()
    assert lines[lines.index("[pytest11]") + 1] == "attnbench = attnbench.runner.pytest_plugin"


def test_the_unpacked_wheel_finds_its_variants(unpacked: Path) -> None:
    code = "import attnbench.variants as v; print(v.__file__, *[name for name in v.names() if v.load(name)], sep='\\n')"
    file, *names = python(unpacked, code).splitlines()
    assert Path(file) == unpacked / "attnbench/variants/__init__.py"
    assert names == sorted(path.stem for path in (unpacked / "attnbench/variants").glob("[!_]*.py"))


def test_native_is_built_from_an_unpacked_wheel_in_an_empty_cache(
    unpacked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    code = "from attnbench.variants.kernels import _building; print(_building.build())"
    assert Path(python(unpacked, code).strip()).parent == tmp_path / "attnbench"


def python(unpacked: Path, code: str) -> str:
    """What `code` prints where only the unpacked wheel is called attnbench."""
    return output(sys.executable, "-c", code, cwd=unpacked.parent, PYTHONPATH=str(unpacked))


def read(wheel: ZipFile, name: str) -> str:
    """A file of the wheel's dist-info folder."""
    (path,) = (each for each in wheel.namelist() if each.endswith(f".dist-info/{name}"))
    return wheel.read(path).decode()
