"""The gates of other tools on the cases of suites/ci.yaml: one run of each, on two revisions of a repository."""

import json
import os
import re
import shutil
import site
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
_WORSE = re.compile(r"^\| \+ .*\| *([0-9.]+) *\| calls\.Call\.time_call\('(.*)'\)", re.MULTILINE)
"""A line of asv's table with a slower benchmark: ratio and case."""


def pytest_benchmark(repository: Path, head: str, out: Path) -> dict[str, Any]:
    """`--benchmark-compare-fail=median:5%`: the base saved, then the head compared, each in a process of its own."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    command = [sys.executable, "-m", "pytest", str(HERE / "plain.py"), "-q", "-p", "no:cacheprovider", "--timeout", "0"]
    stored = [f"--benchmark-storage={out.resolve() / 'saved'}", "--benchmark-warmup=on"]
    compare = [
        "--benchmark-compare",
        "--benchmark-compare-fail=median:5%",
        f"--benchmark-json={out.resolve() / 'head.json'}",
    ]
    begun = time.monotonic()
    for revision, more in (("same", ["--benchmark-save=base"]), (head, compare)):
        subprocess.run(["git", "-C", str(repository), "checkout", "-q", revision], check=True)
        environment = {**os.environ, "PYTHONPATH": str(repository / "typings")}
        done = subprocess.run(
            [*command, *stored, *more], cwd=repository, env=environment, capture_output=True, text=True, check=False
        )
    wall_s = time.monotonic() - begun
    (base,) = (out / "saved").rglob("*base.json")
    medians = [
        {each["name"]: each["stats"]["median"] for each in json.loads(path.read_text())["benchmarks"]}
        for path in (base, out / "head.json")
    ]
    ratios = {name: medians[1][name] / medians[0][name] for name in medians[0]}
    called = [f"{_title(name)} {ratio:.3f}" for name, ratio in ratios.items() if ratio > 1.05]
    return {"called": called, "cases": len(ratios), "exit_code": done.returncode, "wall_s": wall_s}


def asv(repository: Path, head: str, out: Path) -> dict[str, Any]:
    """`asv continuous --factor 1.05`: both revisions in turns, each in the environment that asv makes for it.

    The environment sees the packages of this interpreter, and the revision's own code: nothing is built.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    link = "import pathlib, site, sys; pathlib.Path(site.getsitepackages()[0], 'gate.pth').write_text(sys.argv[1])"
    paths = f"{{build_dir}}/typings\n{site.getsitepackages()[0]}"
    settings = {
        "version": 1,
        "project": "attnbench",
        "repo": str(repository),
        "branches": ["same"],
        "environment_type": "virtualenv",
        "pythons": [f"{sys.version_info.major}.{sys.version_info.minor}"],
        "benchmark_dir": str(HERE / "asv_cases"),
        "env_dir": str(out.resolve().parent / "asv-environment"),
        "results_dir": str(out.resolve() / "results"),
        "build_command": [],
        "install_command": [f'python -c "{link}" "{paths}"'],
        "uninstall_command": [],
    }
    (out / "asv.conf.json").write_text(json.dumps(settings, indent=1))
    command = [sys.executable, "-m", "asv", "--config", str(out.resolve() / "asv.conf.json")]
    subprocess.run([*command, "machine", "--yes"], check=True, capture_output=True)
    begun = time.monotonic()
    # The same commit twice is nothing to asv: `same` and its head are told apart by a commit that changes no code.
    base = "same~1" if head == "same" else "same"
    done = subprocess.run(
        [*command, "continuous", "--factor", "1.05", "--interleave-rounds", base, head],
        capture_output=True,
        text=True,
        check=False,
    )
    wall_s = time.monotonic() - begun
    (out / "told.txt").write_text(done.stdout + done.stderr)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"asv ended with {done.returncode}; see {out / 'told.txt'}")
    rows = _WORSE.findall(done.stdout)
    (held,) = [path for path in (out / "results").glob("*/*.json") if path.name != "machine.json"][:1]
    (benchmark,) = json.loads(held.read_text())["results"].values()
    called = [f"{case} {ratio}" for ratio, case in rows]
    return {"called": called, "cases": len(benchmark[0]), "exit_code": done.returncode, "wall_s": wall_s}


def _title(name: str) -> str:
    """The case of a test's name, `test_call[CASE]`."""
    return name.removeprefix("test_call[").removesuffix("]")
