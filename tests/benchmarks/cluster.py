"""What a run on a Ray cluster costs beyond the same run on one machine; prints the figures of docs/cluster.md.

PYTHONPATH=tests python tests/benchmarks/cluster.py kills|overhead|thousand|driver|ways

Nodes are raylets on this machine. `kills` kills a raylet or a worker 50 times during one run. `overhead` runs 40 units
of real workers by Ray and plainly, in turns. `thousand` runs 1,000 units with simulated workers of 0.1 s on 4 nodes.
`driver` gives 10,000 units to 1,000 nodes that end them at once, so that only the driver and its journal take time.
`ways` measures a suite plainly, by two raylets of a CPU each, and in two shards that are merged, and compares them.
"""

import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

from killing_nodes import SUITE as SUITE_OF_KILLS
from killing_nodes import kill, lines, on
from ray.cluster_utils import Cluster

from attnbench.reports.findings.run import load
from attnbench.runner.cluster.admitting import Wanted
from attnbench.runner.cluster.driving import Ended
from attnbench.runner.cluster.ray_nodes import RayNodes
from attnbench.runner.cluster.remote import Machine
from attnbench.runner.cluster.units import Unit
from attnbench.runner.execution import engine
from attnbench.runner.execution.executor import Executor, Node
from attnbench.runner.execution.local import Local
from attnbench.runner.execution.progress import Quiet
from attnbench.runner.execution.task import Task
from attnbench.suites import Case, Probe, Sample, Status
from attnbench.suites.schema.load import parse
from attnbench.suites.schema.suite import Suite

SUITE = """
name: cost
question: What does the executor cost?
shape: {heads: 1, head_dim: 8, seq_len: 16}
variants: [full]
threads: 1
measure: {processes: PROCESSES, values: 2, value_ms: 1}
budget: {suite_s: 3600}
"""
ANYWAY = Wanted(anyway=True)


class Simulated:
    """A worker that answers after some seconds and measures nothing."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self, kind: str, budget_bytes: int | None, folders: tuple[Path, ...]) -> "Simulated":
        return self

    def __enter__(self) -> "Simulated":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing runs."""

    def wait(self) -> None:
        """It is ready at once."""

    def ask(self, request: dict[str, Any], patience_s: float, heard: object = None) -> Any:
        """Answer as a worker does."""
        if request["do"] == "environment":
            from importlib import metadata

            return {"torch": metadata.version("torch")}
        if request["do"] == "free_bytes":
            return None
        if request["do"] == "probe":
            return Probe(Case.from_json(request["case"]).key, Status.PASSED, "", call_ns=1e6, peak_bytes=1).to_json()
        time.sleep(self.seconds)
        keys = [Case.from_json(each["case"]).key for each in request["cases"]]
        replicate = request["replicate"]
        return [Sample(key, Status.PASSED, "", replicate=replicate, values_ns=(1e6, 1e6)).to_json() for key in keys]


def suite(processes: int) -> Suite:
    """One case in so many processes, which are as many units."""
    return parse(SUITE.replace("PROCESSES", str(processes)), "cost.yaml")


def cluster(nodes: int) -> Any:
    """Return a head without CPUs and nodes with one CPU each."""
    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    for _ in range(nodes):
        found.add_node(num_cpus=1)
    return found


def kills() -> None:
    """Kill a raylet or a worker of two nodes 50 times during a run, and count its units."""
    found, folder, processes = cluster(2), Path(tempfile.mkdtemp()), 30
    text = SUITE_OF_KILLS.replace("processes: 3", f"processes: {processes}")
    (folder / "kills.yaml").write_text(text)
    killed = kill(found, folder / "kills.yaml", folder / "run", random.Random(0), most=50)
    units = lines(folder / "run")
    expected = len(parse(text, "kills.yaml").cases()) * (1 + processes)
    told = f"{len(killed)} kills, {killed.count('raylet')} of raylets: {expected - len(units)} of {expected} units lost"
    print(f"{told}, {sum(units.values()) - len(units)} doubled")
    found.shutdown()


def overhead() -> None:
    """Run 40 units by Ray on one node and plainly, three times in turns."""
    found, units = cluster(1), 40
    more = []
    for _ in range(3):
        plain_s = seconds(suite(units), Local())
        ray_s = seconds(suite(units), RayNodes(found.address, ANYWAY))
        more.append((ray_s - plain_s) / units)
        print(f"plainly {plain_s:.1f} s, by Ray {ray_s:.1f} s: {more[-1]:.2f} s more a unit", flush=True)
    print(f"median {statistics.median(more):.2f} s more a unit")
    found.shutdown()


def seconds(wanted: Suite, executor: Executor) -> float:
    """Return the seconds of a run."""
    began = time.monotonic()
    engine.run(wanted, Path(tempfile.mkdtemp()) / "run", Quiet(), executor=executor)
    return time.monotonic() - began


def thousand() -> None:
    """Run 1,000 units of 0.1 s on 4 nodes."""
    found, units, unit_s = cluster(4), 1000, 0.1
    executor = Counting(found.address, ANYWAY, Simulated(unit_s))
    engine.run(suite(units), Path(tempfile.mkdtemp()) / "run", Quiet(), executor=executor)
    ideal_s = units * unit_s / 4
    print(f"{units} units: {executor.took_s:.1f} s, {executor.took_s / ideal_s:.2f} times the ideal {ideal_s:.1f} s")
    found.shutdown()


class Counting(RayNodes):
    """The same, with the seconds from the first unit to the end."""

    took_s = 0.0

    def measure(self, *given: Any) -> Any:
        """Measure, and keep the seconds."""
        began = time.monotonic()
        finished = super().measure(*given)
        self.took_s = time.monotonic() - began
        return finished


class AtOnce(Counting):
    """A thousand nodes that are not there, and end each unit at once."""

    def __init__(self) -> None:
        super().__init__()
        self._began: list[tuple[Node, Unit, Task]] = []

    def nodes(self, suite: Suite, cases: Sequence[Case], folders: tuple[Path, ...]) -> list[Node]:
        """Return a thousand times this machine."""
        (here,) = Local().nodes(suite, cases, folders)
        self._all = {f"n{at}": replace(here, name=f"n{at}") for at in range(1000)}
        return [*self._all.values()]

    def idle(self) -> list[Node]:
        """Return the nodes without a unit."""
        busy = {node.name for node, _, _ in self._began}
        return [node for name, node in self._all.items() if name not in busy]

    def begin(self, node: Node, unit: Unit, task: Task) -> None:
        """Keep the unit."""
        self._began.append((node, unit, task))

    def wait(self, timeout_s: float) -> list[Ended]:
        """End a unit."""
        node, unit, task = self._began.pop(0)
        rows = Machine((), Simulated(0)).measure(task)
        return [Ended(node, unit, rows)]


def driver() -> None:
    """Give 10,000 units to 1,000 nodes that end them at once."""
    executor = AtOnce()
    wanted = parse(SUITE.replace("PROCESSES", "1000").replace("heads: 1", f"heads: {[*range(1, 11)]}"), "cost.yaml")
    engine.run(wanted, Path(tempfile.mkdtemp()) / "run", Quiet(), executor=executor)
    print(f"10,000 units: {executor.took_s:.1f} s, {executor.took_s / 10:.2f} ms a unit")


WAYS = """
name: ways
question: Do a cluster and shards measure what one command does?
shape: {heads: 4, head_dim: 64, seq_len: [256, 1024]}
variants: [full, {local_window: {window: 65}}, {longformer: {window: 65}}, {bigbird: {block: 32}}, linear]
direction: [forward, training]
threads: 1
measure: {processes: 5}
budget: {suite_s: 1800}
"""
SAME = ("status", "proved", "flops", "allowed_pairs", "computed_pairs", "processes", "baseline")


def ways() -> None:
    """Measure a suite in three ways, and compare what they found."""
    folder = Path(tempfile.mkdtemp())
    (folder / "ways.yaml").write_text(WAYS)

    def bench(*words: str) -> None:
        command = [sys.executable, "-m", "attnbench.runner", *words]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    bench("run", "ways.yaml", "--out", "plainly", "--quiet")
    found = cluster(2)
    bench("run", "ways.yaml", "--out", "ray", *on(found))
    found.shutdown()
    for shard in ("1/2", "2/2"):
        bench("run", "ways.yaml", "--shard", shard, "--out", f"shard-{shard[0]}", "--quiet")
    bench("merge", "shard-1", "shard-2", "--out", "shards")
    frames = {name: load(folder / name).frame.set_index("case").sort_index() for name in ("plainly", "ray", "shards")}
    for a, b in combinations(frames, 2):
        one, other = frames[a], frames[b]
        same = [*one.index] == [*other.index] and all(one[name].equals(other[name]) for name in SAME)
        apart = [
            f"{one.loc[case, 'label']} {one.loc[case, 'direction']} N={one.loc[case, 'seq_len']}"
            for case in one.index[one["speedup_low"].notna()]
            if one.loc[case, "speedup_low"] > other.loc[case, "speedup_high"]
            or other.loc[case, "speedup_low"] > one.loc[case, "speedup_high"]
        ]
        many = int(one["speedup_low"].notna().sum())
        told = (
            f"the same {', '.join(SAME)}: {same}; {many - len(apart)} of {many} speed-ups have intervals that overlap"
        )
        times = (other["time_ns"] / one["time_ns"]).quantile([0, 0.5, 1])
        print(f"{a} and {b}: {told}; times {times[0]:.2f} to {times[1]:.2f}, median {times[0.5]:.2f}; apart: {apart}")


if __name__ == "__main__":
    {"kills": kills, "overhead": overhead, "thousand": thousand, "driver": driver, "ways": ways}[sys.argv[1]]()
