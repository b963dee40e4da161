"""The report of a run: figures, pages, the same bytes twice."""

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import matplotlib as mpl
import numpy as np
import pytest
import rows

from attnbench.reports import figures
from attnbench.reports.data.reading import RunError
from attnbench.reports.drawing import panels, saving
from attnbench.reports.drawing.style import STYLE, looks
from attnbench.reports.figures.patterns import thumbnail
from attnbench.reports.findings.run import load
from attnbench.reports.pages import run_report
from attnbench.suites import Status

GONE = dict.fromkeys((512, 1024), (Status.UNSUPPORTED, "no CUDA device"))
BROKEN = {1024: rows.OOM}
PLANS = {
    "quick": rows.QUICK,
    "failing": rows.Plan((replace(rows.FULL, endings=BROKEN), rows.LOCAL), (512, 1024), ("forward", "training")),
    "one_case": rows.Plan((rows.FULL,), (512,)),
    "one_length": rows.Plan(
        (rows.FULL, rows.LOCAL, replace(rows.QUICK.series[-1], endings={512: rows.OOM})), (512,), threads=(1, 2)
    ),
    "between_round_numbers": rows.Plan(
        (replace(rows.FULL, at_1024_ns=3e6, bytes_at_1024=2.9e6),),
        (1024,),
        baseline=None,
        process_sd=0.0,
        value_sd=0.0,
    ),
    "one_process": rows.Plan((rows.FULL, rows.LOCAL), (512, 1024), processes=1),
    "unsupported": rows.Plan((replace(rows.FULL, endings=GONE),), (512, 1024), devices=("cuda",)),
    "none_passed": rows.Plan((replace(rows.FULL, endings=dict.fromkeys((512, 1024), rows.OOM)),), (512, 1024)),
    "none_at_one_length": rows.Plan((replace(rows.FULL, endings={512: rows.OOM}),), (512,)),
    "baseline_failed": rows.Plan(
        (replace(rows.FULL, endings=dict.fromkeys((512, 1024), rows.OOM)), rows.LOCAL), (512, 1024)
    ),
    "gpu": rows.Plan((rows.FULL, rows.LOCAL), (512, 1024), devices=("cuda",), dtype="bfloat16"),
    "no_baseline": rows.Plan((rows.FULL, rows.LOCAL), (512, 1024), baseline=None),
    "no_baseline_at_one_length": rows.Plan((rows.FULL, rows.LOCAL), (512,), baseline=None),
    "two_devices": rows.Plan((rows.FULL, rows.LOCAL), (512, 1024), devices=("cpu", "cuda"), threads=(1, 2)),
}
PNG = ("quick", "failing", "one_length", "unsupported", "two_devices")
"""These are also drawn as PNG, which takes longer than all else. It is the same figure."""
FILES, ONE_LENGTH = (
    sorted(f"{name}.{kind}" for name in names for kind in ("svg", "png"))
    for names in (("time", "memory", "speedup", "patterns"), ("ranking", "patterns"))
)


def words(path: Path) -> str:
    """All text of an SVG."""
    return " ".join("".join(each.itertext()) for each in ElementTree.parse(path).iter() if each.tag.endswith("}text"))


@pytest.mark.parametrize("name", PLANS)
def test_every_kind_of_run_has_its_files(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, kinds = rows.write(tmp_path, PLANS[name]), saving._METADATA
    if name not in PNG:
        monkeypatch.setattr(saving, "_METADATA", {"svg": kinds["svg"]})
    assert run_report.write(load(folder)) == folder / "report.md"
    assert sorted(os.listdir(folder)) == ["figures", "report.md", "run.json", "samples.jsonl", "table.csv", "table.md"]
    by_threads = [f"time_by_threads.{kind}" for kind in kinds] if len(PLANS[name].threads) > 1 else []
    files = [*(FILES if len(PLANS[name].lengths) > 1 else ONE_LENGTH), *by_threads]
    files = [file for file in files if name in PNG or not file.endswith(".png")]
    assert sorted(os.listdir(folder / "figures")) == sorted(files)
    for file in (folder / "figures").glob("*.png"):
        assert file.read_bytes().startswith(b"\x89PNG")
        assert file.stat().st_size > 5000
    for file in (folder / "figures").glob("*.svg"):
        assert words(file)


def test_what_figures_say(tmp_path: Path) -> None:
    folder = rows.write(tmp_path, PLANS["failing"])
    figures.write(load(folder), folder)
    told = {name: words(folder / "figures" / f"{name}.svg") for name in figures.of(load(folder))}
    for name in ("time", "memory", "speedup"):
        for text in ("forward", "training", "full/sdpa", "local_window(window=129)/blockwise", "OOM", "512", "1K"):
            assert text in told[name], (name, text)
        assert "Example CPU" in told[name]
    assert "∝ N²" in told["time"]
    assert "ms" in told["time"]
    assert "MiB" in told["memory"]
    assert "1x" in told["speedup"]
    assert "local_window(window=129)" in told["patterns"]


@pytest.mark.parametrize(
    ("name", "figure", "text"),
    [
        ("unsupported", "time", "Nothing to draw: no case is supported here."),
        ("none_passed", "time", "no case passed"),
        ("no_baseline", "speedup", "Nothing to draw: no case has a baseline in this run."),
        ("baseline_failed", "speedup", "no baseline passed"),
        ("one_length", "ranking", "Time, speed-up and memory at N = 512"),
        ("one_length", "ranking", "forward, float32, cpu, 2 threads"),
        ("one_length", "ranking", "OOM"),
        ("no_baseline_at_one_length", "ranking", "peak memory of one call"),
        ("none_at_one_length", "ranking", "Nothing to draw: no case passed."),
        ("one_process", "time", "Too few processes for intervals."),
        ("gpu", "time", "cuda: Example GPU 80GB · bfloat16"),
        ("two_devices", "time", "forward, float32, cuda, 2 threads"),
    ],
)
def test_what_a_figure_says_of_an_odd_run(tmp_path: Path, name: str, figure: str, text: str) -> None:
    run = load(rows.write(tmp_path, PLANS[name]))
    with mpl.rc_context(cast(Any, STYLE)):
        figures.load(figure).draw(run).savefig(tmp_path / "it.svg")
    assert text in words(tmp_path / "it.svg")


def test_a_rebuild_gives_the_same_bytes(tmp_path: Path) -> None:
    folder = rows.write(tmp_path, PLANS["failing"])
    files = ["table.csv", "table.md", "report.md", *(f"figures/{name}" for name in FILES)]
    run_report.write(load(folder))
    first = {name: (folder / name).read_bytes() for name in files}
    run_report.write(load(folder))
    assert {name: (folder / name).read_bytes() for name in files} == first


def test_a_figure_of_very_many_settings_says_what_it_leaves_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(panels, "MOST_ROWS", 2)
    plan = rows.Plan((rows.FULL,), (512, 1024), processes=1, threads=tuple(range(1, 7)))
    folder = rows.write(tmp_path, plan)
    figures.write(load(folder), folder)
    for name in ("time", "memory"):
        assert "4 more settings are left out; table.csv has them." in words(folder / "figures" / f"{name}.svg")


def test_text_of_others_is_no_formula(tmp_path: Path) -> None:
    folder = rows.write(tmp_path, rows.QUIET)
    run = load(folder)
    run.frame["label"] = run.frame["label"].replace("full", r"$\foo$")
    figures.write(run, folder)
    assert r"$\foo$/sdpa" in words(folder / "figures" / "time.svg")


def test_drawing_leaves_the_settings_of_matplotlib_alone(tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    figures.write(load(rows.write(tmp_path, PLANS["one_case"])), tmp_path)
    assert dict(mpl.rcParams) == before


def test_looks_tell_series_apart_and_stay(tmp_path: Path) -> None:
    run = load(rows.write(tmp_path, rows.QUICK))
    found = looks(run.frame)
    assert len({look[:4] for look in found.values()}) == len(found) == 6
    assert found["full/eager"].colour == found["full/sdpa"].colour
    assert (found["full/sdpa"].line, found["full/sdpa"].fill) == ("-", "full")
    assert found["full/eager"].fill == "none"
    assert looks(run.frame[run.frame["direction"] == "training"]) == found


def test_many_implementations_of_one_pattern_look_different(tmp_path: Path) -> None:
    series = tuple(replace(rows.FULL, implementation=name) for name in ("sdpa", *"abcdefghi"))
    found = looks(load(rows.write(tmp_path, rows.Plan(series, (512,)))).frame)
    assert len({(look.line, look.fill) for look in found.values()}) == len(found) == 10


def test_thumbnails_are_the_patterns(tmp_path: Path) -> None:
    run = load(rows.write(tmp_path, PLANS["quick"]))
    told = next(each for each in run.meta["patterns"] if each["variant"] == "local_window")
    mask = thumbnail(told)
    i = np.arange(256)
    assert (mask == (np.abs(i[:, None] - i) <= 64)).all()
    odd = np.eye(13, dtype=bool)
    packed = {"n": 13, "rows": [np.packbits(row).tobytes().hex() for row in odd]}
    assert (thumbnail(packed) == odd).all()


def test_the_report_holds_what_made_it(tmp_path: Path) -> None:
    meta = rows.meta(PLANS["failing"])
    meta |= {"name": "a <b> | c", "question": "Is `it` <i>faster</i>?", "source": "name: x\n# ```yaml\n"}
    meta["environment"]["note"] = "two\nlines | and a pipe"
    folder = rows.write_rows(tmp_path, meta, rows.rows(PLANS["failing"]))
    text = run_report.write(load(folder)).read_text(encoding="utf-8")
    assert text.startswith("# a &lt;b&gt; \\| c\n\n**Is \\`it\\` &lt;i&gt;faster&lt;/i&gt;?**\n\n- forward: ")
    assert "````yaml\nname: x\n# ```yaml\n````" in text
    assert "| note | two lines \\| and a pipe |" in text
    assert "| memory_bytes | 16.0 GiB |" in text
    assert "| gpu | - |" in text
    assert "```sh\nbench run synthetic.yaml\n```" in text
    assert "<b>" not in text
    for name in ("time", "memory", "speedup", "patterns"):
        assert f"](figures/{name}.svg)" in text
    assert (folder / "table.md").read_text(encoding="utf-8").rstrip("\n") in text


def test_an_interrupted_run_says_so(tmp_path: Path) -> None:
    meta = rows.meta(rows.QUICK) | {"finished": None}
    folder = rows.write_rows(tmp_path, meta, [*rows.rows(rows.QUICK)][:30])
    text = run_report.write(load(folder)).read_text(encoding="utf-8")
    assert "This run is not finished: 0 of 48 cases have a result." in text
    assert "not reached" in text
    assert "finished not." in text


def test_an_empty_run(tmp_path: Path) -> None:
    folder = rows.write_rows(tmp_path, rows.meta(rows.QUICK) | {"cases": [], "patterns": []}, [])
    text = run_report.write(load(folder)).read_text(encoding="utf-8")
    assert "The run has no cases." in text
    assert "0 of 0 cases passed." in text
    assert sorted(os.listdir(folder / "figures")) == ONE_LENGTH


def test_no_run_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="expected the folder of a run"):
        run_report.write(load(tmp_path / "none"))
    assert not (tmp_path / "none").exists()


def test_reports_need_no_torch() -> None:
    code = "import sys, attnbench.reports.pages.run_report; print({'torch', 'attnbench.runner'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


FIELD = rows.Plan(
    (
        rows.FULL,
        replace(rows.FULL, implementation="native", at_1024_ns=1.5e6),
        rows.LOCAL,
        replace(rows.LOCAL, parameters={"window": 65, "causal": True}),
        *(rows.Series(name, "blockwise", at_1024_ns=1e6 * (2 + i)) for i, name in enumerate(("bigbird", "strided"))),
        *(
            rows.Series(name, "own", at_1024_ns=2e5 * (1 + i), error_vs_full=0.1 * (1 + i))
            for i, name in enumerate(
                (
                    "linear",
                    "cosformer",
                    "performer",
                    "linformer",
                    "nystromformer",
                    "topk",
                    "routing",
                    "retention",
                    "nsa",
                )
            )
        ),
        rows.Series("lstm", "own", at_1024_ns=5e6),
        rows.Series("identity", "own", at_1024_ns=1e3),
    ),
    (512, 1024, 2048),
    level="layer",
    baseline="full/native",
)


def test_many_series_have_a_panel_for_each_family(tmp_path: Path) -> None:
    folder = rows.write(tmp_path, FIELD)
    run = load(folder)
    assert [*figures.of(run)] == ["time", "memory", "speedup", "bubble", "patterns"]
    figures.write(run, folder)
    for name in ("time", "memory", "speedup"):
        told = words(folder / "figures" / f"{name}.svg")
        for text in ("pattern", "by content, low rank", "kernel, recurrent", "full/native", "full/sdpa", "(window=65"):
            assert text in told, (name, text)
        assert "window=129" in told, "parameters tell both apart"
        assert "bigbird/" not in told, "an implementation is told only where a mechanism has several"
        assert "Not drawn: the floor, identity." in told
        assert "other" not in told.replace("the other panels", "")
    assert "bound by work" not in words(folder / "figures" / "speedup.svg")


def test_the_bubble_figure_has_every_mechanism_with_a_speed(tmp_path: Path) -> None:
    folder = rows.write(tmp_path, FIELD)
    figures.write(load(folder), folder)
    told = words(folder / "figures" / "bubble.svg")
    for text in ("tokens per second", "error against full attention", "linear", "lstm", "none", "recurrent", "MiB"):
        assert text in told, text
    assert "identity" not in told


def test_one_mechanism_with_many_parameters_has_no_bubble_figure(tmp_path: Path) -> None:
    windows = (replace(FIELD.series[2], parameters={"window": 2 * each + 3}, error_vs_full=0.5) for each in range(15))
    run = load(rows.write(tmp_path, replace(FIELD, series=(*FIELD.series[:2], *windows))))
    assert len(run.frame["label"].unique()) > 12
    assert "bubble" not in figures.of(run)


def test_few_series_have_one_panel_and_a_legend(tmp_path: Path) -> None:
    folder = rows.write(tmp_path, replace(FIELD, series=FIELD.series[:12]))
    run = load(folder)
    assert "bubble" not in figures.of(run)
    figures.write(run, folder)
    assert "linear/own" in words(folder / "figures" / "time.svg")


def test_a_series_that_never_passed_has_its_name_beside_its_status(tmp_path: Path) -> None:
    gone = replace(FIELD.series[6], endings=dict.fromkeys(FIELD.lengths, rows.OOM))
    folder = rows.write(tmp_path, replace(FIELD, series=(*FIELD.series[:6], gone, *FIELD.series[7:])))
    figures.write(load(folder), folder)
    assert gone.variant == "linear"
    told = words(folder / "figures" / "time.svg")
    assert "OOM" in told
    assert " linear " in f" {told} "
