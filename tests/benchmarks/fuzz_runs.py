"""Folders of others as an attack: run folders with random changes, read by every verb that reads one.

PYTHONPATH=tests python -W error tests/benchmarks/fuzz_runs.py 2000

A folder ends well if each verb prints what it should, or one line that names the file and what was expected and found.
A traceback, the exit code of a fault of our own, and any warning do not end well.
"""

import argparse
import copy
import json
import random
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import rows
from click.testing import CliRunner

from attnbench.reports import export
from attnbench.runner.cli import main as bench
from attnbench.suites.profile import OUTSIDE, Held, Operator, Profile, Step
from attnbench.suites.result import Status

FILES = ("run.json", "samples.jsonl", "profile.jsonl")
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 7, 0.5, -0.0, 1e-320, 1e-3, 1e15, 1e308, 2**31, 2**62, 2**63, 10**400, -(10**30)),
    *(float("nan"), float("inf"), -float("inf"), "", "12 MB", "0", "passed", "failed", "cuda", "1e5", "NaN", "auto"),
    *("x" * 3000, "a\nb\tc", "\u540d\u524d \U0001f600", "\x00\x1b[31m", "../../x", "$x^2$ _a_", [], [[]], {}, {"a": 1}),
    *([0], [1, 2, 3], ["a"], [None], [1e308, 1e308], [{}], {"kind": "probe"}),
)
EXIT_CODES = (0, 1, 2, 3, 4, 5)

_PLANS = (
    rows.Plan((rows.FULL, rows.LOCAL), (256, 512, 1024), processes=3, values=2, roof_flops_per_s=1e11),
    rows.Plan(
        (
            replace(rows.FULL, endings={512: rows.OOM}),
            *(replace(rows.LOCAL, parameters={"window": width}) for width in (17, 65, 129)),
        ),
        (512,),
        ("forward", "training"),
        threads=(1, 2),
        processes=3,
        values=1,
    ),
    rows.Plan((rows.FULL, rows.LOCAL), (256,), devices=("cpu", "cuda"), processes=2, values=1),
)


def write(folder: Path, plan: rows.Plan) -> Path:
    """A run's folder that has everything that one can have."""
    every = [case for _, case in rows.cases(plan)]
    meta = rows.meta(plan)
    part = {"started": meta["started"], "processes": 4, "environment": meta["environment"]}
    meta["resumed"] = [{**part, "changed": {"environment.cpu": ["a", "b"]}}]
    meta["suite"]["check"] = {"time": {"relative": "15%", "severity": "warn"}}
    rows.write_rows(folder, meta, rows.rows(plan))
    operators = (
        Operator("aten::bmm", 2.0, 5e5, None, 4096.0),
        Operator("aten::_softmax", 1.0, 3e5, None, 8192.0),
        Operator(OUTSIDE, 1.0, 1e5, None, 0.0),
    )
    held, steps = Held((0.0, 1e5, 6e5), (0, 4096, 0)), (Step(1e5, 4096, "aten::bmm"),)
    made = [Profile(case.key, Status.PASSED, "", case.title, 5, 1e6, operators, held, steps) for case in every[:2]]
    lines = [json.dumps(each.to_json()) + "\n" for each in made]
    (folder / "profile.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder


def originals(folder: Path) -> list[Path]:
    """The folders that mutants are made of."""
    return [write(folder / str(number), plan) for number, plan in enumerate(_PLANS)]


def mutate(seed: str, original: Path, folder: Path) -> str:
    """Write the original with one to three changes; the same for the same seed. Returns what was changed."""
    chance = random.Random(seed)
    told = []
    texts = {name: (original / name).read_text(encoding="utf-8") for name in FILES}
    for _ in range(chance.choice((1, 1, 2, 3))):
        name = chance.choice(FILES)
        change = chance.choice((_field,) * 8 + (_everywhere,) * 3 + (_cut, _doubled))
        texts[name], what = change(chance, texts[name], name == "run.json")
        told.append(f"{name} {what}")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return "; ".join(told)


Change = Callable[[random.Random, str, bool], tuple[str, str]]


def _documents(text: str, whole: bool) -> list[Any]:
    """The JSON of a file; what an earlier change has cut is left out."""
    found = []
    for line in [text] if whole else text.splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def _text(documents: list[Any]) -> str:
    return "".join(json.dumps(each) + "\n" for each in documents)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of everything in a document."""
    inside = value.items() if isinstance(value, dict) else enumerate(value[:9]) if isinstance(value, list) else ()
    return [path, *(each for name, part in inside for each in _places(part, (*path, name)))]


def _put(document: Any, path: tuple[Any, ...], value: Any, *, remove: bool) -> Any:
    """A document with something else at a path, or without it; as it is where there is no such path."""
    if not path:
        return value
    changed = copy.deepcopy(document)
    at = changed
    try:
        for step in path[:-1]:
            at = at[step]
        if remove:
            del at[path[-1]]
        else:
            at[path[-1]] = value
    except (IndexError, KeyError, TypeError):
        pass
    return changed


def _chosen(chance: random.Random, documents: list[Any]) -> tuple[int, tuple[Any, ...], Any, bool]:
    """A document, a place in it, what to put there, and whether to remove what is there instead."""
    index = chance.randrange(len(documents))
    places = _places(documents[index])
    # A name first, then one of its places: else the long lists of cases and times would get nearly all changes.
    names = sorted({str(place[:1] if len(place) < 3 else (place[0], place[-1])) for place in places})
    name = chance.choice(names)
    place = chance.choice([p for p in places if str(p[:1] if len(p) < 3 else (p[0], p[-1])) == name])
    return index, place, chance.choice(VALUES), chance.random() < 0.15


def _field(chance: random.Random, text: str, whole: bool) -> tuple[str, str]:
    """One field of one row changed."""
    documents = _documents(text, whole)
    if not documents:
        return text, "as it is"
    index, place, value, remove = _chosen(chance, documents)
    documents[index] = _put(documents[index], place, value, remove=remove)
    return _text(documents), f"{index} {place}: {'removed' if remove else repr(value)[:60]}"


def _everywhere(chance: random.Random, text: str, whole: bool) -> tuple[str, str]:
    """One field of every row changed."""
    documents = _documents(text, whole)
    if not documents:
        return text, "as it is"
    _, place, value, remove = _chosen(chance, documents)
    if not place:
        return text, "as it is"
    documents = [_put(each, place, value, remove=remove) for each in documents]
    return _text(documents), f"every {place}: {'removed' if remove else repr(value)[:60]}"


def _cut(chance: random.Random, text: str, whole: bool) -> tuple[str, str]:
    """A line cut short, or the whole file."""
    del whole
    lines = text.split("\n")
    index = chance.randrange(len(lines))
    keep = chance.randrange(len(lines[index]) + 1)
    lines[index] = lines[index][:keep]
    if chance.random() < 0.3:
        del lines[index + 1 :]
    return "\n".join(lines), f"line {index} cut at {keep}"


def _doubled(chance: random.Random, text: str, whole: bool) -> tuple[str, str]:
    """A row twice; of `run.json`, a case."""
    documents = _documents(text, whole)
    if not documents:
        return text, "as it is"
    if whole and isinstance(documents[0], dict) and isinstance(documents[0].get("cases"), list):
        documents[0]["cases"] += documents[0]["cases"][:1]
        return _text(documents), "a case twice"
    index = chance.randrange(len(documents))
    return _text([*documents, documents[index]]), f"row {index} twice"


def commands(chance: random.Random, mutant: Path, original: Path, folder: Path) -> list[list[str]]:
    """Verbs that read a run, on a mutant; what they write goes into `folder`.

    One of those that compare is drawn: they read alike, and figures take most of the time.
    """
    out, store = ["--out", str(folder / "out")], ["--store", str(folder / "store")]
    a, b = str(original), str(mutant)
    compared = (
        ["compare", a, b, *out],
        ["compare", b, a, "--across-machines", "--format", "json", *out],
        ["compare", b, "--by", "variant", *out],
        ["check", b, "--baseline", a, "--format", "junit", *out],
        ["check", a, "--baseline", b, "--format", "github"],
    )
    return [
        ["report", b],
        *(["export", b, "--format", form] for form in export.names()),
        chance.choice(compared),
        ["history", a, b, "--out", str(folder / "history")],
        ["baseline", "save", "it", b, *store],
        ["baseline", "show", "it", *store],
    ]


def problem(words: list[str]) -> str:
    """What is wrong with how a command ended; nothing where it ended well. Warnings must be errors."""
    done = CliRunner().invoke(bench, words)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        return "".join(traceback.format_exception(done.exception))
    if "Traceback" in done.output or "Warning" in done.output or done.exit_code not in EXIT_CODES:
        return f"exit code {done.exit_code}: {done.output}"
    if done.exit_code == 2 and (done.output.count("\n") != 1 or "expected" not in done.output):
        return f"an error in other words: {done.output}"
    return ""


def problems(seed: str, sources: list[Path], folder: Path) -> tuple[str, list[str]]:
    """A mutant of one of the folders through every command: what was changed, and what did not end well."""
    chance = random.Random(seed)
    original = chance.choice(sources)
    told = mutate(seed, original, folder / "mutant")
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for words in commands(chance, folder / "mutant", original, folder):
            what = problem(words)
            if what:
                found.append(f"bench {' '.join(words)}\n{what}")
    return told, found


def main() -> None:
    """Read so many mutants; exit with 1 if one of them does not end well."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("count", type=int, nargs="?", default=200)
    parser.add_argument("--seed", default="0")
    parser.add_argument("--first", type=int, default=0)
    given = parser.parse_args()
    ended: Counter[bool] = Counter()
    with tempfile.TemporaryDirectory() as scratch:
        sources = originals(Path(scratch) / "originals")
        for index in range(given.first, given.first + given.count):
            with tempfile.TemporaryDirectory(dir=scratch) as folder:
                told, found = problems(f"{given.seed}:{index}", sources, Path(folder))
            ended[bool(found)] += 1
            if found:
                print(f"--seed {given.seed}, mutant {index}: {told}\n{found[0][-1500:]}\n", flush=True)
    print(f"{ended[False]} of {given.count} mutants ended well")
    sys.exit(1 if ended[True] else 0)


if __name__ == "__main__":
    main()
