"""A run in a notebook: what it shows, and the notebook of the docs."""

import base64
import json
import re
import tarfile
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import pytest
import rows
from nbclient import NotebookClient
from test_reports_page import FIELD

from attnbench.reports.findings.run import load

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "notebook.ipynb"


class Shown(HTMLParser):
    """The tags of a piece of HTML, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def shown(folder: Path) -> tuple[str, Shown]:
    html = load(folder)._repr_html_()
    found = Shown()
    found.feed(html)
    return html, found


def test_a_run_shows_question_answer_table_and_figure(tmp_path: Path) -> None:
    html, found = shown(rows.write(tmp_path / "run", rows.QUICK))
    assert "From which length on does each pattern beat full attention?" in found.text
    assert found.tags.count("table") == found.tags.count("img") == 1
    assert found.tags.count("tr") == 7
    assert "full/sdpa" in found.text
    (image,) = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    assert base64.b64decode(image).startswith(b"\x89PNG")
    assert len(html) < 200_000


def test_a_run_is_short_as_text(tmp_path: Path) -> None:
    run = load(rows.write(tmp_path / "run", rows.QUICK))
    assert repr(run) == f"<Run quick: 48 of 48 cases passed, in {tmp_path / 'run'}>"


def test_names_of_others_stay_text(tmp_path: Path) -> None:
    plan = replace(rows.QUICK, directions=("forward",), lengths=(256, 512))
    folder = rows.write(tmp_path / "run", plan)
    meta = json.loads((folder / "run.json").read_text())
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&amp;"
    meta |= {"question": evil, "name": evil}
    for case in meta["cases"]:
        case["label"] = evil + case["variant"]
    (folder / "run.json").write_text(json.dumps(meta))
    html, found = shown(folder)
    assert "script" not in found.tags
    assert found.tags.count("img") == 1
    assert evil in found.text
    assert "<script" not in html
    assert "onerror=alert(1)>" not in html


def test_a_run_where_nothing_passed_says_so(tmp_path: Path) -> None:
    gone = replace(rows.FULL, endings=dict.fromkeys((512, 1024), rows.OOM))
    _, found = shown(rows.write(tmp_path / "run", rows.Plan((gone,), (512, 1024))))
    assert "table" not in found.tags
    assert "No case passed" in found.text


@pytest.mark.slow
def test_a_figure_that_is_too_tall_is_left_out(tmp_path: Path) -> None:
    html, found = shown(rows.write(tmp_path / "run", replace(FIELD, directions=("forward", "training"))))
    assert found.tags.count("img") == 1
    assert "Time of one call" not in html


def test_the_notebook_of_the_docs_has_no_outputs() -> None:
    told = json.loads(PAGE.read_text(encoding="utf-8"))
    nbformat.validate(told)
    code = [each for each in told["cells"] if each["cell_type"] == "code"]
    assert all(each["outputs"] == [] and each["execution_count"] is None for each in code)


def test_the_notebook_of_the_docs_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tarfile.open(ROOT / "tests" / "data" / "runs" / "quick.tar.gz") as archive:
        archive.extractall(tmp_path / "runs" / "quick", filter="data")
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    read: Any = nbformat.read  # has no types
    book = read(PAGE, as_version=4)
    NotebookClient(book, timeout=240, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]
    kinds = [kind for output in outputs for kind in output.get("data", {})]
    assert kinds.count("text/html") == 3
    assert kinds.count("image/png") == 2
    text = "".join(output.get("text", "") for output in outputs)
    assert re.search(r"^full takes [\d.]+ times the time of local_window\(window=129\)$", text, re.MULTILINE)
    assert not [output for output in outputs if output.get("name") == "stderr"]
