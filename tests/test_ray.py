"""Runs on the nodes of a real Ray cluster, which is two or three raylets on this machine."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from attnbench.reports.data import reading
from attnbench.runner.execution import engine
from attnbench.runner.execution.progress import Quiet
from attnbench.suites import Probe, Sample
from attnbench.suites.schema.load import parse
from attnbench.suites.schema.suite import Suite

pytest.importorskip("ray")

import ray
from ray.cluster_utils import Cluster

from attnbench.runner.cluster.admitting import Wanted
from attnbench.runner.cluster.ray_nodes import RayNodes

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # Ray warns of much that is its own

SUITE = """
name: on_ray
question: Do two nodes measure what one machine does?
shape: {heads: 1, head_dim: 8, seq_len: [16, 32]}
variants: [full, {local_window: {window: 3}}]
direction: [forward, training]
threads: 1
measure: {processes: 3, values: 2, value_ms: 1}
"""
ANYWAY = Wanted(anyway=True)
BENCH = [sys.executable, "-m", "attnbench.runner", "run"]
TIMES = ("started", "finished")


def suite() -> Suite:
    return parse(SUITE, "on_ray.yaml")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A head without CPUs and two nodes with one CPU each. The clock of the second is ten years ahead."""
    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    lies = tmp_path_factory.mktemp("lies")
    (lies / "sitecustomize.py").write_text("import time\nreal = time.time\ntime.time = lambda: real() + 3e8\n")
    found.add_node(num_cpus=1)
    found.add_node(num_cpus=1, env_vars={"PYTHONPATH": f"{lies}:{os.environ.get('PYTHONPATH', '')}"})
    yield found
    ray.shutdown()
    found.shutdown()  # type: ignore[no-untyped-call]  # untyped in Ray


def rows(folder: Path) -> list[Probe | Sample]:
    read = reading.read(folder)
    return [*read.probes.values(), *(each for samples in read.samples.values() for each in samples.values())]


def lines(folder: Path) -> Counter[tuple[str, str, int | None]]:
    """How often each unit of work is in the file, which keeps every row that was ever written."""
    told = reading.rows(folder / "samples.jsonl", dict)
    return Counter((each["kind"], each["case"], each.get("replicate")) for each in told)


def test_two_nodes_measure_what_one_machine_does(cluster: Any, tmp_path: Path) -> None:
    began = datetime.now(UTC)
    finished = engine.run(suite(), tmp_path / "ray", Quiet(), executor=RayNodes(cluster.address, ANYWAY))
    alone = engine.run(suite(), tmp_path / "alone", Quiet())
    assert not finished.out_of_time
    assert lines(tmp_path / "ray") == lines(tmp_path / "alone")
    assert set(lines(tmp_path / "ray").values()) == {1}
    both = [{row.case: (row.status, getattr(row, "proved", None)) for row in each.rows} for each in (finished, alone)]
    assert both[0] == both[1]
    assert {row.part for row in rows(tmp_path / "ray")} == {0, 1}, "both nodes worked"
    meta = reading.read(tmp_path / "ray").meta
    times = [meta["started"], meta["finished"], *(part[name] for part in meta["resumed"] for name in TIMES)]
    assert all(began - timedelta(seconds=1) <= datetime.fromisoformat(each) <= datetime.now(UTC) for each in times)


def test_killed_nodes_and_workers_lose_and_double_nothing(cluster: Any, tmp_path: Path) -> None:
    (tmp_path / "on_ray.yaml").write_text(SUITE)
    where = ["--executor", "ray", "--address", cluster.address, "--anyway", "--quiet"]
    run = [*BENCH, str(tmp_path / "on_ray.yaml"), "--out", str(tmp_path / "run"), *where]
    driver, drawn, killed = subprocess.Popen(run), random.Random(5), list[str]()
    finished = 0
    while driver.poll() is None:
        time.sleep(1)
        # The next is killed only when a unit has ended since, or no machine would ever have the time to end one.
        if len(lines_if_any(tmp_path / "run")) == finished:
            continue
        time.sleep(drawn.uniform(0, 2))
        finished = len(lines_if_any(tmp_path / "run"))
        nodes = [each for each in cluster.worker_nodes if each.any_processes_alive()]
        if len(killed) % 2 and nodes:
            cluster.remove_node(drawn.choice(nodes), allow_graceful=False)
            cluster.add_node(num_cpus=1)
            killed.append("raylet")
        else:
            killed.append("worker")
            _kill_a_worker()
    assert driver.returncode == 0
    assert {*killed} == {"raylet", "worker"}
    assert len(lines(tmp_path / "run")) == len(suite().cases()) * 4
    assert set(lines(tmp_path / "run").values()) == {1}


def _kill_a_worker() -> None:
    """Kill a process in which a node measures, as the system does when memory is short."""
    found = subprocess.run(["pgrep", "-f", "ray::Machine"], capture_output=True, text=True, check=False)
    for pid in found.stdout.split()[:1]:
        os.kill(int(pid), signal.SIGKILL)


def test_a_killed_driver_goes_on_where_it_was(cluster: Any, tmp_path: Path) -> None:
    (tmp_path / "on_ray.yaml").write_text(SUITE)
    where = ["--executor", "ray", "--address", cluster.address, "--anyway", "--quiet"]
    folder = tmp_path / "run"
    driver = subprocess.Popen([*BENCH, str(tmp_path / "on_ray.yaml"), "--out", str(folder), *where])
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and (not folder.exists() or len(lines_if_any(folder)) < 6):
        time.sleep(0.2)
    driver.kill()
    driver.wait()
    before = lines(folder)
    assert 6 <= len(before) < 8 * 4
    subprocess.run([*BENCH, "--resume", str(folder), *where], check=True, timeout=300)
    assert len(lines(folder)) == 8 * 4
    assert set(lines(folder).values()) == {1}


def lines_if_any(folder: Path) -> Counter[tuple[str, str, int | None]]:
    return lines(folder) if (folder / "samples.jsonl").exists() else Counter()
