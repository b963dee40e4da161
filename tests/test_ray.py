"""Runs on the nodes of a real Ray cluster, which is two or three raylets on this machine."""

import json
import os
import random
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from killing_nodes import RUN, SUITE, kill, lines, on

from attnbench.reports.data import reading
from attnbench.runner.execution import engine
from attnbench.runner.execution.executor import ExecutorError
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

ANYWAY = Wanted(anyway=True)
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


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.0.0.1:99999", "ray://127.0.0.1:1"])
def test_an_address_where_nothing_answers_is_an_error_at_once(address: str, tmp_path: Path) -> None:
    with pytest.raises(ExecutorError, match="expected a Ray cluster, found none"):
        engine.run(suite(), tmp_path / "run", Quiet(), executor=RayNodes(address))


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


def test_a_node_of_another_version_is_left_out(cluster: Any, tmp_path: Path) -> None:
    (tmp_path / "on_ray.yaml").write_text(SUITE)
    (tmp_path / "sitecustomize.py").write_text("import platform\nplatform.python_version = lambda: '3.0.0'\n")
    path = f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"
    other = cluster.add_node(num_cpus=1, env_vars={"PYTHONPATH": path})
    try:
        words = [*(each for each in on(cluster) if each != "--quiet"), "--json", "--out", str(tmp_path / "run")]
        found = subprocess.run(
            [*RUN, str(tmp_path / "on_ray.yaml"), *words], capture_output=True, text=True, check=True
        )
    finally:
        cluster.remove_node(other)
    (event,) = (told for line in found.stdout.splitlines() if (told := json.loads(line))["event"] == "refused")
    assert "python: expected" in event["reason"]
    assert "found 3.0.0" in event["reason"]
    assert len(lines(tmp_path / "run")) == len(suite().cases()) * 4


def test_killed_nodes_and_workers_lose_and_double_nothing(cluster: Any, tmp_path: Path) -> None:
    (tmp_path / "on_ray.yaml").write_text(SUITE)
    killed = kill(cluster, tmp_path / "on_ray.yaml", tmp_path / "run", random.Random(5), most=6)
    assert {*killed} == {"raylet", "worker"}
    assert len(lines(tmp_path / "run")) == len(suite().cases()) * 4
    assert set(lines(tmp_path / "run").values()) == {1}


def test_a_killed_driver_goes_on_where_it_was(cluster: Any, tmp_path: Path) -> None:
    (tmp_path / "on_ray.yaml").write_text(SUITE)
    folder = tmp_path / "run"
    driver = subprocess.Popen([*RUN, str(tmp_path / "on_ray.yaml"), "--out", str(folder), *on(cluster)])
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and len(lines(folder)) < 6:
        time.sleep(0.2)
    driver.kill()
    driver.wait()
    before = lines(folder)
    assert 6 <= len(before) < 8 * 4
    subprocess.run([*RUN, "--resume", str(folder), *on(cluster)], check=True, timeout=300)
    assert len(lines(folder)) == 8 * 4
    assert set(lines(folder).values()) == {1}
