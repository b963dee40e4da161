"""The action for GitHub: its scripts are run as GitHub runs them, in a clone with the event of a pull request."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from test_docs import block

ROOT = Path(__file__).resolve().parents[1]
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]
MARKER = "<!-- attnbench: ci -->"
HOSTILE = "it's;$(touch${IFS}hacked)&&`touch${IFS}hacked`"
"""A name that git allows for a branch."""


def step(name: str) -> dict[str, Any]:
    (found,) = (each for each in STEPS if each.get("name") == name)
    return found


def run(
    name: str,
    folder: Path,
    inputs: Mapping[str, str],
    environment: Mapping[str, str],
    outputs: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run the script of a step in a folder, with the shell of GitHub. `outputs` are those of the step `measure`."""
    known = {f"inputs.{key}": str(each.get("default", "")) for key, each in ACTION["inputs"].items()}
    known |= {f"inputs.{key}": value for key, value in inputs.items()} | {"github.token": "secret"}
    known |= {f"steps.measure.outputs.{key}": value for key, value in (outputs or {}).items()}
    told = step(name)
    variables = {
        key: re.sub(r"\$\{\{ (\S+) \}\}", lambda found: known[found[1]], value) for key, value in told["env"].items()
    }
    script = folder.parent / "script.sh"
    script.write_text(told["run"])
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(script)],
        cwd=folder,
        env={**os.environ, "GITHUB_ACTION_PATH": str(ROOT), **environment, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A PATH on which `bench` is this code, and `python` this interpreter, except that pip is only written down."""
    folder = tmp_path / "bin"
    folder.mkdir()
    log = tmp_path / "pip.log"
    python = f'if [ "$2" = pip ]; then printf "%s\\n" "$*" >> "{log}"; else exec "{sys.executable}" "$@"; fi'
    for name, text in (("bench", f'exec "{sys.executable}" -m attnbench.runner "$@"'), ("python", python)):
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone of a library with the files of docs/ci.md, whose base has a hostile name. The head changed a document."""
    origin = tmp_path / "origin"
    library = origin / "src" / "mylib"
    for folder in (library, origin / "bench"):
        folder.mkdir(parents=True)
    (library / "__init__.py").touch()
    (library / "kernel.py").write_text("from torch.nn.functional import scaled_dot_product_attention as attend\n")
    (origin / "bench" / "mine.py").write_text(block("ci.md", "python", '"""Attention of my library."""'))
    (origin / "bench" / "ci.yaml").write_text(block("ci.md", "yaml", "name: ci").replace("[512, 2048]", "64"))
    git(origin, "init", "-q", "-b", HOSTILE)
    commit(origin)
    git(tmp_path, "clone", "-q", str(origin), "clone")
    (tmp_path / "clone" / "NEWS").write_text("new")
    commit(tmp_path / "clone")
    return tmp_path / "clone"


def commit(folder: Path) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "change")


def git(folder: Path, *words: str) -> None:
    names = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    subprocess.run(["git", "-C", str(folder), *names, *words], check=True)


def test_no_expression_is_written_into_a_script() -> None:
    """Else the name of a branch or the title of a pull request would be run."""
    scripts = [each["run"] for each in STEPS if "run" in each]
    assert len(scripts) == 3
    assert not [script for script in scripts if "${{" in script]


def test_every_input_is_described_and_used() -> None:
    used = set(re.findall(r"inputs\.([a-z-]+)", json.dumps(STEPS)))
    assert used == ACTION["inputs"].keys()
    assert all(each["description"] and ("default" in each or each["required"]) for each in ACTION["inputs"].values())
    page = (ROOT / "docs" / "ci.md").read_text()
    assert all(f"`{name}`" in page or f"{name}:" in page for name in [*ACTION["inputs"], *ACTION["outputs"]])


def test_the_workflow_of_the_page_has_ten_lines_and_known_inputs() -> None:
    text = block("ci.md", "yaml", "name: attnbench")
    assert len(text.splitlines()) == 10
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read", "pull-requests": "write"}
    given = workflow["jobs"]["speed"]["steps"][-1]["with"]
    assert given.keys() <= ACTION["inputs"].keys()
    assert {name for name, each in ACTION["inputs"].items() if each.get("required")} <= given.keys()


def test_this_project_uses_it() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    (used,) = (each for each in workflow["jobs"]["speed"]["steps"] if each["uses"] == "./")
    assert used["with"].keys() <= ACTION["inputs"].keys()


def test_what_is_installed(tmp_path: Path, path: str) -> None:
    folder = tmp_path / "library"
    folder.mkdir()
    done = run("Install attnbench", folder, {"install": "-r requirements.txt\neinops"}, {"PATH": path})
    assert done.returncode == 0, done.stderr
    (line,) = (tmp_path / "pip.log").read_text().splitlines()
    assert line == f"-m pip install {ROOT}[html] -r requirements.txt einops", "torch is there already"


@pytest.mark.slow
def test_a_pull_request_is_measured(tmp_path: Path, clone: Path, path: str) -> None:
    written = {name: str(tmp_path / name) for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    inputs = {
        "suite": "bench/ci.yaml",
        "variants": "bench\n",
        "path": "src",
        "title": "ci of mine",
        "options": "--limit memory=1%\n--quiet",
    }
    told = {"PATH": path, "GITHUB_BASE_REF": HOSTILE, "RUNNER_TEMP": str(tmp_path)}
    done = run("Measure", clone, inputs, told | written)
    assert done.returncode == 0, done.stdout + done.stderr
    assert Path(written["GITHUB_OUTPUT"]).read_text() == f"folder={tmp_path}/attnbench\nexit-code=0\n"
    assert Path(written["GITHUB_STEP_SUMMARY"]).read_text().startswith("### attnbench (ci of mine): ")
    assert (tmp_path / "attnbench" / "comment.md").read_text().startswith("<!-- attnbench: ci of mine -->\n")
    found = json.loads((tmp_path / "attnbench" / "comparison.json").read_text())
    assert found["a"].startswith(f"origin/{HOSTILE} (")
    assert not [*tmp_path.rglob("hacked")]


def test_the_exit_code_is_that_of_bench(tmp_path: Path, clone: Path, path: str) -> None:
    output = tmp_path / "output"
    told = {"PATH": path, "RUNNER_TEMP": str(tmp_path), "GITHUB_OUTPUT": str(output), "GITHUB_BASE_REF": ""}
    done = run("Measure", clone, {"suite": "quick", "base": "nowhere"}, told)
    assert done.returncode == 2
    assert "nowhere: expected a revision" in done.stderr
    assert output.read_text().endswith("exit-code=2\n")
    done = run("Measure", clone, {"suite": "quick"}, told)
    assert (done.returncode, "::error title=attnbench::expected a pull request or the input base" in done.stdout) == (
        2,
        True,
    )
    done = run("Measure", clone, {"suite": "quick", "env": "A=b\n\nmylib --pre\n"}, told)
    assert done.returncode == 2
    assert "--env mylib --pre: expected requirements or NAME=VALUE" in done.stderr


class GitHub(BaseHTTPRequestHandler):
    """The comments of pull request 7, as GitHub's interface shows them."""

    comments: ClassVar[list[dict[str, Any]]]
    forbidden: ClassVar[bool]
    url: ClassVar[str]

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        assert asked.path == "/repos/me/mylib/issues/7/comments"
        page, many = (int(parse_qs(asked.query)[name][0]) for name in ("page", "per_page"))
        self.answer(self.comments[(page - 1) * many : page * many])

    def do_POST(self) -> None:
        assert self.path == "/repos/me/mylib/issues/7/comments"
        self.comments.append({"id": len(self.comments), "user": {"login": "github-actions[bot]"}, **self.content()})
        self.answer({})

    def do_PATCH(self) -> None:
        *start, number = self.path.split("/")
        assert "/".join(start) == "/repos/me/mylib/issues/comments"
        self.comments[int(number)] |= self.content()
        self.answer({})

    def content(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        return told

    def answer(self, told: object) -> None:
        assert self.headers["Authorization"] == "Bearer secret"
        self.send_response(403 if self.forbidden else 200)
        self.end_headers()
        self.wfile.write(json.dumps(told).encode())

    def log_message(self, *words: object) -> None:
        """Say nothing."""


@pytest.fixture
def github() -> Iterator[type[GitHub]]:
    """A server, whose address is its attribute `url`."""

    class Made(GitHub):
        comments: ClassVar[list[dict[str, Any]]] = []
        forbidden: ClassVar[bool] = False

    with ThreadingHTTPServer(("127.0.0.1", 0), Made) as server:
        Made.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Made
        server.shutdown()


def comment(tmp_path: Path, github: Any, path: str, text: str) -> str:
    """What the step says that comments with a text."""
    folder = tmp_path / "compared"
    folder.mkdir(exist_ok=True)
    (folder / "comment.md").write_text(text)
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"pull_request": {"number": 7, "title": HOSTILE}}))
    told = {"GITHUB_EVENT_PATH": str(event), "GITHUB_API_URL": github.url, "GITHUB_REPOSITORY": "me/mylib"}
    done = run("Comment", folder, {}, told | {"PATH": path}, {"folder": str(folder)})
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_one_comment_is_left_and_replaced(tmp_path: Path, github: Any, path: str) -> None:
    others = [{"id": at, "user": {"login": "somebody"}, "body": f"{MARKER}\nnot ours"} for at in range(100)]
    github.comments += others
    before = json.dumps(others)
    assert comment(tmp_path, github, path, f"{MARKER}\nfirst, {HOSTILE}\n") == ""
    assert comment(tmp_path, github, path, f"{MARKER}\nsecond\n") == ""
    assert [each["body"] for each in github.comments[100:]] == [f"{MARKER}\nsecond\n"]
    assert json.dumps(github.comments[:100]) == before, "comments of others stay, whatever they begin with"
    other = "<!-- attnbench: ci on Python 3.13 -->\nthird\n"
    assert comment(tmp_path, github, path, other) == ""
    assert [each["body"] for each in github.comments[100:]] == [f"{MARKER}\nsecond\n", other], "another title"


def test_a_fork_may_not_comment_and_is_not_failed_for_it(tmp_path: Path, github: Any, path: str) -> None:
    github.forbidden = True
    said = comment(tmp_path, github, path, f"{MARKER}\nfirst\n")
    assert said.startswith("::warning title=attnbench::no comment: HTTP Error 403")
    assert github.comments == []


def test_without_a_comparison_there_is_no_comment(tmp_path: Path, path: str) -> None:
    done = run("Comment", tmp_path, {}, {"PATH": path}, {"folder": str(tmp_path / "none")})
    assert (done.returncode, done.stdout) == (0, "::warning title=attnbench::no comment: nothing was compared\n")
