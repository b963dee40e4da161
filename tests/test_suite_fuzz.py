"""Suite files as an attack: whatever they hold, reading them ends in a suite or in errors with their places."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks import fuzz
from click.testing import CliRunner

from attnbench.runner.cli import main

SCRIPT = Path(fuzz.__file__)
WATCHED = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from benchmarks import fuzz
from click.testing import CliRunner

from attnbench.runner.cli import main
fuzz.watch()
fuzz.LIMIT_S = 0.05
fuzz.ending = lambda path: eval(sys.argv[2])
print(*fuzz.watched(Path("any.yaml")))
"""


def test_three_hundred_mutants_end_well(tmp_path: Path) -> None:
    """Read in a process whose folder is empty, and stays so; the script reads any number."""
    done = subprocess.run([sys.executable, SCRIPT, "300"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    ended = re.fullmatch(r"300 of 300 ended well: (\d+) suites, (\d+) refusals; .*\n", done.stdout)
    assert ended, done.stdout
    suites, refusals = map(int, ended.groups())
    assert suites > 6, "some mutants are still suites"
    assert refusals > 100, "most mutants are none"
    assert os.listdir(tmp_path) == []
    assert not Path("/tmp", fuzz.CANARY).exists()


def test_mutants_are_the_same_each_time_and_differ() -> None:
    texts = fuzz.documents()
    found = [fuzz.mutant(f"0:{index}", texts) for index in range(300)]
    assert found == [fuzz.mutant(f"0:{index}", texts) for index in range(300)]
    assert len(set(found)) > 280
    assert sum(b"!!python" in each for each in found) > 10
    assert sum(len(each) > 50_000 for each in found) > 3


@pytest.mark.parametrize(
    ("reading", "expected"),
    [
        ("os.system('true')", "bad os.system"),
        ("open('any.txt', 'w')", "bad open ('any.txt', 'w'"),
        ("Path('any').mkdir()", "bad os.mkdir"),
        ("1 / 0", "bad Traceback"),
        ("[0 for _ in iter(int, 1)]", "bad Traceback"),
        ("('suite', '')", "suite "),
    ],
)
def test_the_watch_sees(reading: str, expected: str, tmp_path: Path) -> None:
    """What a file must not do is noticed: programs, files, folders, other errors, no end."""
    command = [sys.executable, "-c", WATCHED, str(SCRIPT.parents[1]), reading]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(expected), done.stdout


def test_the_command_line_tells_mutants_in_plain_lines(tmp_path: Path) -> None:
    texts, path = fuzz.documents(), tmp_path / "s.yaml"
    for index in range(40):
        path.write_bytes(fuzz.mutant(f"cli:{index}", texts))
        done = CliRunner().invoke(main, ["validate", str(path)])
        assert done.exit_code in (0, 2), done.output
        assert isinstance(done.exception, SystemExit | None), done.exception
        assert all(line.startswith(str(path)) for line in done.output.splitlines())


@pytest.mark.parametrize("name", ["../up", "/tmp/x", "a/b", "..", "", "a\nb", "abc\n", "-x", "x" * 65])
def test_no_name_leads_out_of_the_folder_of_runs(name: str, tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(f"name: {json.dumps(name)}\nquestion: Q?\nshape: {{seq_len: 8}}\nvariants: [full]\n")
    assert fuzz.ending(path)[0] == "refusal"
