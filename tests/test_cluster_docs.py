"""The three files of docs/cluster.md, run as they are; SLURM is replaced by programs that run jobs on this machine."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from attnbench.reports.findings.run import load

FILES = Path(__file__).parent.parent / "docs" / "cluster"
SUITE = """
name: example
question: Does the example work?
shape: {heads: 1, head_dim: 8, seq_len: [16, 32]}
variants: [full, {local_window: {window: 3}}]
direction: [forward, training]
threads: 1
measure: {processes: 2, values: 2, value_ms: 1}
"""
SBATCH = """#!{python}
import os, re, subprocess, sys
script = sys.argv[-1]
first, last = map(int, re.search(r"--array=(\\d+)-(\\d+)", open(script).read()).groups())
output = re.search(r"--output=(\\S+)", open(script).read())[1]
if sys.argv[1] != "later":
    # A job begins after its submission.
    nowhere = {{"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}}
    subprocess.Popen([sys.executable, __file__, "later", script], start_new_session=True, **nowhere)
    print("Submitted batch job 7")
    sys.exit()
for task in range(first, last + 1):
    own = {{"SLURM_JOB_ID": str(8 + task), "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": str(task)}}
    own |= {{"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NTASKS": "1", "SLURM_JOB_NUM_NODES": "1"}}
    own |= {{"SLURM_NODEID": "0", "SLURM_JOB_NODELIST": "here"}}
    with open(output.replace("%A", "7").replace("%a", str(task)), "w") as log:
        subprocess.run(["/bin/bash", script], env={{**os.environ, **own}}, stdout=log, stderr=log)
"""


RAY = f"""#!/bin/sh
# The real one stops all clusters of this machine, those of other tests too.
[ "$1" = stop ] && exec pkill --signal KILL --full "127.0.0.1:$PORT|:$PORT |gcs_server_port=$PORT"
exec "{Path(sys.executable).parent}/ray" "$@"
"""


def programs(folder: Path, **texts: str) -> dict[str, str]:
    """The variables of a shell that finds these programs, and this checkout's bench."""
    folder.mkdir()
    texts["bench"] = f'#!/bin/sh\nexec "{sys.executable}" -m attnbench.runner "$@"\n'
    for name, text in texts.items():
        (folder / name).write_text(text.format(python=sys.executable))
        (folder / name).chmod(0o755)
    return {**os.environ, "PATH": os.pathsep.join([str(folder), str(Path(sys.executable).parent), os.environ["PATH"]])}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    return port


@pytest.mark.slow
@pytest.mark.parametrize("name", ["shards", "slurm", "ray"])
def test_an_example_measures_a_suite(name: str, tmp_path: Path) -> None:
    if name != "shards":
        pytest.importorskip({"slurm": "submitit", "ray": "ray"}[name])
    (tmp_path / "suite.yaml").write_text(SUITE)
    nothing = "#!/bin/sh\nexit 0\n"
    found = programs(tmp_path / "bin", sbatch=SBATCH, srun=nothing, sacct=nothing, scancel=nothing, ray=RAY)
    script = shutil.copy(FILES / f"{name}.sh", tmp_path)
    command = ["sh", str(script), "suite.yaml", "run"]
    done = subprocess.run(command, cwd=tmp_path, env={**found, "PORT": str(free_port())}, check=False, timeout=300)
    assert done.returncode == 0
    run = load(tmp_path / "run")
    assert list(run.frame["status"]) == ["passed"] * 8
    assert len(run.parts) == 2
    assert run.frame["speedup"].notna().all()
    report = (tmp_path / "run" / "report.md").read_text()
    assert name != "shards" or "bench run suite.yaml --shard 2/2 --out run.2" in report
