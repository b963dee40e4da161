"""A run on two Ray nodes with networks of their own, one of which is cut off in the middle."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from killing_nodes import RUN, SUITE, lines

from attnbench.suites.schema.load import parse

pytest.importorskip("ray")

pytestmark = pytest.mark.slow

HERE, THERE, PORT = "10.213.7.1", "10.213.7.2", 6397
NAMESPACE, LINK, PEER = "attnbench-there", "attnbench-0", "attnbench-1"
RAY = [str(Path(sys.executable).parent / "ray")]
SOON = {"RAY_health_check_initial_delay_ms": "500", "RAY_health_check_period_ms": "500"} | {
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
}
"""Ray finds out after 2 s, not 30, that a node does not answer."""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def network() -> Iterator[None]:
    """A namespace with a link to this one."""
    if shutil.which("ip") is None:
        # Without it there is no other network to cut off; test_ray.py loses nodes in other ways.
        pytest.skip("needs the command ip")
    made = subprocess.run(["ip", "netns", "add", NAMESPACE], capture_output=True, text=True, check=False)
    if any(words in made.stderr for words in ("not permitted", "denied", "Read-only")):
        # Containers and users may not make one. Any other failure, such as one that is left over, is an error.
        pytest.skip("may not make a network namespace")
    assert made.returncode == 0, made.stderr
    try:
        ip("link", "add", LINK, "type", "veth", "peer", "name", PEER, "netns", NAMESPACE)
        ip("addr", "add", f"{HERE}/24", "dev", LINK)
        ip("link", "set", LINK, "up")
        ip("-n", NAMESPACE, "addr", "add", f"{THERE}/24", "dev", PEER)
        for each in (PEER, "lo"):
            ip("-n", NAMESPACE, "link", "set", each, "up")
        yield
    finally:
        ip("netns", "delete", NAMESPACE)
        with suppress(subprocess.CalledProcessError):
            ip("link", "delete", LINK)


@pytest.fixture
def address(network: None) -> Iterator[str]:
    """A cluster of a node with one CPU in each namespace."""
    start = [*RAY, "start", "--block", "--num-cpus=1", "--disable-usage-stats", "--object-store-memory=100000000"]
    head = ["--head", f"--port={PORT}", f"--node-ip-address={HERE}", "--include-dashboard=false"]
    other = [f"--address={HERE}:{PORT}", f"--node-ip-address={THERE}"]
    begun: list[subprocess.Popen[bytes]] = []

    def begin(*words: str) -> None:
        begun.append(subprocess.Popen(words, env={**os.environ, **SOON}, stdout=subprocess.DEVNULL))

    try:
        begin(*start, *head)
        until(is_open)
        begin("ip", "netns", "exec", NAMESPACE, *start, *other)
        yield f"{HERE}:{PORT}"
    finally:
        for each in begun:
            held = psutil.Process(each.pid).children(recursive=True) if each.poll() is None else []
            each.kill()
            for process in held:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            each.wait()


def is_open() -> bool:
    with suppress(OSError), socket.create_connection((HERE, PORT), timeout=1):
        return True
    return False


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def measures_there() -> bool:
    """Whether the node that will be cut off works on a unit, whose name is that of its process then."""
    pids = subprocess.run(["ip", "netns", "pids", NAMESPACE], check=True, capture_output=True, text=True).stdout.split()
    for pid in pids:
        with suppress(OSError):
            name = Path(f"/proc/{pid}/cmdline").read_text()
            if name.startswith("ray::") and not name.startswith(("ray::IDLE", "ray::Machine")):
                return True
    return False


def test_a_node_that_is_cut_off_loses_and_doubles_nothing(address: str, tmp_path: Path) -> None:
    (tmp_path / "on_ray.yaml").write_text(SUITE)
    out, many = tmp_path / "run", len(parse(SUITE, "on_ray.yaml").cases()) * 4
    words = ["--executor", "ray", "--address", address, "--anyway", "--quiet"]
    driver = subprocess.Popen([*RUN, str(tmp_path / "on_ray.yaml"), "--out", str(out), *words])
    try:
        until(measures_there)
        ip("link", "set", LINK, "down")
        assert driver.wait(timeout=300) == 0, "the other node measures the rest"
    finally:
        driver.kill()
        driver.wait()
    assert len(lines(out)) == many
    assert set(lines(out).values()) == {1}
