"""Tables for papers: what they say, and that pdflatex compiles them whatever a name holds."""

import json
import re
import shutil
import string
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rows
from click.testing import CliRunner, Result

from attnbench.reports.findings.lengths import fastest_rows
from attnbench.reports.findings.run import load
from attnbench.reports.text import latex
from attnbench.runner.cli import main
from attnbench.suites import Status

PLAN = rows.Plan(
    (
        rows.FULL,
        replace(rows.LOCAL, endings={512: rows.OOM, 2048: rows.TIMED_OUT}),
        replace(rows.LOCAL, implementation="sdpa_masked", at_1024_ns=9e6, endings={1024: (Status.WRONG, "off")}),
    ),
    (256, 512, 1024, 2048),
    name="a_run",
)
HOSTILE = (
    r"\input{/etc/passwd}\end{table}",
    "100 % & $x^2$ #1 ~_{}_ \"quoted\" 'single' `tick` ?` !` ,, -- --- << >>",
    "[a] * (b) | <c> @ ; : = + / . 0",
    "naïve Ærø Łódź ČŠ ő ş ß å µ μ ± \xd7 ∝ ≤ … \u2013 — \u2018a\u2019 “b”",
    "数据 🦊 \u202eright to left \u200b\x1b[31mred \x00 \ud7ff é\u0301 ệ",
    string.printable,
)


def bench(*words: str | Path) -> Result:
    return CliRunner().invoke(main, ["export", *map(str, words)])


def table(folder: Path, *words: str) -> str:
    done = bench(folder, "--format", "latex", *words)
    assert done.exit_code == 0, done.output
    return done.stdout


def row(text: str, name: str) -> list[str]:
    """The cells of a row after its name."""
    (line,) = (each for each in text.splitlines() if each.startswith(f"{name} &"))
    return [each.strip() for each in line.removesuffix(r"\\").split("&")[1:]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return rows.write(tmp_path / "run", PLAN)


def test_a_table_of_times(folder: Path) -> None:
    text = table(folder)
    assert text.startswith("% Needs \\usepackage{booktabs,graphicx}\n\n\\begin{table}\n")
    assert r"\label{tab:a-run-forward-float32-cpu-time}" in text
    assert text.count(r"\toprule") == text.count(r"\midrule") == text.count(r"\bottomrule") == 1
    assert (
        " & $N = 256$ & $N = 512$ & $N = 1024$ & $N = 2048$ \\\\\n & ($\\mu$s) & ($\\mu$s) & (ms) & (ms) \\\\" in text
    )
    full, local = row(text, "full/sdpa"), row(text, r"local\_window(window=129)/blockwise")
    assert [each.startswith(r"\textbf{") for each in full] == [True, True, False, True]
    assert re.fullmatch(r"\\textbf\{12\d? \$\\pm\$[\d.]+\\%\}", full[0])
    assert [local[1], local[3]] == ["OOM", "TIME-OUT"]
    assert local[2].startswith(r"\textbf{1.0")
    assert row(text, r"local\_window(window=129)/sdpa\_masked")[2] == "WRONG"


def test_the_caption_has_question_machine_and_how_intervals_were_made(folder: Path) -> None:
    (caption,) = re.findall(r"\\caption\{(.*)\}\n", table(folder))
    assert caption.startswith("From which length on does each pattern beat full attention? Time of one call, forward, ")
    assert r"cpu: Example CPU @ 2.10GHz, 2 threads" in caption
    assert r"$\pm$: 95 \% intervals over processes. They are Student{'}s t of log times." in caption


def test_a_table_of_speed_ups_and_one_of_peaks(folder: Path) -> None:
    text = table(folder, "--metric", "speedup")
    assert r"\label{tab:a-run-forward-float32-cpu-speedup}" in text
    assert "Speed-up against full/sdpa, forward" in text
    assert row(text, "full/sdpa")[2] == "1.00x"
    assert re.fullmatch(
        r"\\textbf\{[\d.]+x \([\d.]+ to [\d.]+\)\}", row(text, r"local\_window(window=129)/blockwise")[2]
    )
    peaks = table(folder, "--metric", "memory")
    assert row(peaks, "full/sdpa") == [r"\textbf{1.00}", r"\textbf{2.00}", r"\textbf{4.00}", r"\textbf{8.00}"]
    assert "(MiB)" in peaks
    assert "intervals" not in peaks


def test_what_is_not_shown_to_be_slower_is_bold_too(tmp_path: Path) -> None:
    near = replace(rows.LOCAL, at_1024_ns=rows.FULL.at_1024_ns * 1.001)
    text = table(rows.write(tmp_path / "near", replace(PLAN, series=(rows.FULL, near), lengths=(1024,))))
    assert text.count(r"\textbf") == 2
    few = rows.write(tmp_path / "few", replace(PLAN, series=(rows.FULL, near), lengths=(1024,), processes=2))
    assert table(few).count(r"\textbf") == 1
    assert "Too few processes for intervals." in table(few)


def test_the_fastest_rows_are_those_of_differences_within_processes(tmp_path: Path) -> None:
    run = load(rows.write(tmp_path, replace(PLAN, process_sd=0.3)))
    for n in PLAN.lengths:
        part = run.frame[run.frame["seq_len"] == n]
        first, *others = fastest_rows(part, run.log_ns)
        assert run.frame.loc[first, "time_ns"] == part["time_ns"].min()
        for other in part.index[(part["status"] == "passed") & (part.index != first)]:
            apart = run.log_ns[other] - run.log_ns[first]
            half = 2.776445 * apart.std(ddof=1) / np.sqrt(len(apart))
            assert (other in others) == (apart.mean() - half <= 0)


def test_a_flagged_case_is_marked(tmp_path: Path) -> None:
    text = table(rows.write(tmp_path, replace(PLAN, process_sd=0.5)))
    assert text.count(r"$^\dagger$: doubtful, see the flags of the report.") == 1
    assert r"$^\dagger$ &" in text


def test_the_option_of_another_format_is_one_line(folder: Path) -> None:
    done = bench(folder, "--format", "csv", "--metric", "time")
    assert done.exit_code == 2
    assert done.output.splitlines()[-1] == "Error: --metric: expected --format latex, found --format csv"


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_every_character_is_escaped(name: str) -> None:
    told = latex.text(name)
    assert told.isascii()
    assert "\n" not in told
    left = re.sub(r"\\[&%$#_{}]|\\[a-zA-Z]+(\{\}|\{[a-zA-Z]\}| \{[a-zA-Z]\})|\$\\[a-z]+\$|\$\^2\$", "", told)
    left = re.sub(r"\\['`^~=.\"]\{[A-Za-z]\}|\{['`\[\]*,-]+\}", "", left)
    assert not set(left) & set('\\&%$#_{}^~<>|"[]*`')


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_pdflatex_compiles_tables_with_hostile_names(tmp_path: Path) -> None:
    series = tuple(replace(rows.LOCAL, parameters={"window": 2 * i + 3}) for i in range(len(HOSTILE)))
    plan = replace(PLAN, series=series, baseline=None, process_sd=0.5)
    folder = rows.write(tmp_path / "run", plan)
    meta = json.loads((folder / "run.json").read_text())
    # A run's file holds no control characters in names.
    told = [re.sub(r"[\x00-\x1f\x7f]", "", each) for each in HOSTILE]
    labels = dict(zip(dict.fromkeys(each.label for _, each in rows.cases(plan)), told, strict=True))
    for case, (_, each) in zip(meta["cases"], rows.cases(plan), strict=True):
        case["label"] = labels[each.label]
    meta |= {"question": HOSTILE[0] + HOSTILE[1], "name": told[4]}
    meta["environment"]["cpu"] = told[3]
    (folder / "run.json").write_text(json.dumps(meta))
    for metric in ("time", "speedup", "memory"):
        (tmp_path / f"{metric}.tex").write_text(table(folder, "--metric", metric), encoding="ascii")
    parts = [r"\documentclass{article}\usepackage{booktabs,graphicx}\begin{document}"]
    parts += [rf"\input{{{metric}}}" for metric in ("time", "speedup", "memory")]
    (tmp_path / "paper.tex").write_text("\n".join([*parts, r"\end{document}"]))
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "-no-shell-escape", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout
    assert (tmp_path / "paper.pdf").read_bytes().startswith(b"%PDF")
