"""Data of tasks: equal bytes everywhere, the recipes, splits that share nothing, and errors."""

import hashlib
import importlib
import sysconfig
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attnbench.variants import _cache, tasks
from attnbench.variants.tasks import UNSCORED, Array, Data, DataError, Examples
from attnbench.variants.tasks import pathfinder as images

SIZES = {"train": 40, "validation": 12, "test": 20}
GENERATED = ("copy", "listops", "mqar", "needle", "pathfinder", "reverse", "tagging")
LOCAL = (*GENERATED, "text")
NEXT_TO_NOTHING: dict[str, dict[str, Any]] = {
    "copy": {"length": 1, "symbols": 2},
    "listops": {"shortest": 1, "longest": 9, "depth": 2, "arguments": 3},
    "mqar": {"pairs": 1, "symbols": 2, "tokens": "separate"},
    "needle": {"length": 2, "symbols": 2},
    "pathfinder": {"dashes": 2},
    "reverse": {"length": 1, "symbols": 2},
    "tagging": {"length": 1, "words": 1, "tags": 4, "reach": 2},
    "text": {"length": 1},
}


@pytest.fixture(autouse=True)
def _cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def data(name: str, **parameters: Any) -> Data:
    return tasks.load(name)(**{**SIZES, **parameters})


def rows(examples: Examples) -> set[bytes]:
    return {row.tobytes() for row in examples.tokens}


def fits(form: tasks.Form, examples: Examples, m: int) -> None:
    """Hold examples to their form."""
    tokens, targets, lengths = examples.tokens, examples.targets, examples.lengths
    documents = () if form.documents == 1 else (form.documents,)
    assert tokens.shape == (m, *documents, form.seq_len, *(() if form.fields == 1 else (form.fields,)))
    assert targets.shape == {"class": (m,), "label": (m, form.seq_len), "sequence": (m, form.target_len)}[form.kind]
    assert (tokens.dtype, targets.dtype) == (np.int16, np.int64)
    assert 0 <= tokens.min() <= tokens.max() < form.vocabulary
    assert (UNSCORED if form.kind == "label" else 0) <= targets.min() <= targets.max() < form.classes
    assert 1 / form.classes == pytest.approx(form.chance)
    if lengths is not None:
        assert lengths.dtype == np.int32
        assert lengths.shape == (m, *documents)
        assert not tokens[np.arange(form.seq_len) >= lengths[..., None]].any()


@pytest.mark.parametrize("given", [{}, NEXT_TO_NOTHING], ids=["defaults", "small"])
@pytest.mark.parametrize("name", LOCAL)
def test_examples_have_their_form(name: str, given: dict[str, dict[str, Any]]) -> None:
    it = data(name, **{"train": 7, **given.get(name, {})})
    fits(it.form, it.examples("train", 0), 7)


@pytest.mark.parametrize("name", LOCAL)
def test_equal_seeds_give_equal_bytes_and_the_test_is_always_the_same(name: str) -> None:
    it = data(name, train=10, test=3)
    first, again, other = (tasks.sha256(it.examples("train", seed)) for seed in (0, 0, 1))
    assert first == again != other
    assert tasks.sha256(it.examples("test", 0)) == tasks.sha256(it.examples("test", 1))
    more = data(name, train=20, test=3)
    assert tasks.sha256(it.examples("test", 0)) == tasks.sha256(more.examples("test", 0))


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("copy", "ba5f55ee"),
        ("listops", "29a8a96d"),
        ("mqar", "be45e8fe"),
        ("needle", "e0c1ed6a"),
        ("pathfinder", "737bdbf2"),
        ("reverse", "1a019b50"),
        ("tagging", "2c145296"),
    ],
)
def test_what_is_drawn_changes_only_on_purpose(name: str, digest: str) -> None:
    assert tasks.sha256(data(name, train=10).examples("train", 0))[:8] == digest


@pytest.mark.parametrize("name", LOCAL)
def test_splits_share_no_example(name: str) -> None:
    it = data(name)
    train, validation, test = (rows(it.examples(split, 0)) for split in tasks.SPLITS)
    assert not train & validation | train & test | validation & test


def value(words: list[str]) -> int:
    """The value of the tree at the start of `words`, which are removed."""
    word = words.pop(0)
    if word.isdigit():
        return int(word)
    values = []
    while words[0] != "]":
        values.append(value(words))
    words.pop(0)
    return {
        "[MIN": lambda: min(values),
        "[MAX": lambda: max(values),
        "[MED": lambda: int(np.median(values)),
        "[SM": lambda: sum(values) % 10,
    }[word]()


def test_listops_have_the_value_of_their_tree() -> None:
    names = ["", *map(str, range(10)), "[MIN", "[MAX", "[MED", "[SM", "]"]
    it = data("listops", train=200, shortest=10, longest=40, depth=4, arguments=5).examples("train", 0)
    assert it.lengths is not None
    for tokens, target, length in zip(it.tokens, it.targets, it.lengths, strict=True):
        words = [names[token] for token in tokens[:length]]
        assert value(words) == target
        assert words == []
    assert it.lengths.min() >= 10
    assert len(rows(it)) == 200
    assert {*it.targets} == {*range(10)}


def test_too_few_trees_are_an_error() -> None:
    it = data("listops", train=100_000, shortest=1, longest=1, depth=2)
    with pytest.raises(ValueError, match="train: expected 100000 different trees, found"):
        it.examples("train", 0)


@pytest.mark.parametrize(("tokens", "pairs"), [("joint", 8), ("separate", 8), ("joint", 32)])
def test_the_answers_of_recall_are_in_the_context(tokens: str, pairs: int) -> None:
    it = data("mqar", tokens=tokens, pairs=pairs, symbols=32).examples("train", 0)
    for row, targets in zip(it.tokens, it.targets, strict=True):
        given = row[: 2 * pairs].reshape(-1, 2)[:pairs]
        values = {int(key): int(each) - 33 for key, each in given}
        assert len(values) == pairs
        queries = row[-pairs:, 0] if tokens == "joint" else row[-pairs:]
        assert [*targets[-pairs:]] == [values[int(key)] for key in queries]
        assert (targets[:-pairs] == UNSCORED).all()
        if tokens == "joint":
            assert not row[-pairs:, 1].any()


def test_copies_are_copied_and_reversed() -> None:
    it = data("copy").examples("train", 0)
    assert np.array_equal(it.targets, it.tokens - 1)
    it = data("reverse").examples("train", 0)
    assert np.array_equal(it.targets[:, ::-1], it.tokens - 1)


def test_the_marked_symbol_is_asked_at_the_end() -> None:
    it = data("needle", length=50, symbols=5).examples("train", 0)
    marked = (it.tokens > 5) & (it.tokens < 11)
    assert (marked.sum(1) == 1).all()
    assert np.array_equal(it.tokens[marked] - 6, it.targets[:, -1])
    assert (it.tokens[:, -1] == 11).all()
    assert (it.targets[:, :-1] == UNSCORED).all()
    assert len({*marked.argmax(1)}) > 10


def test_tags_follow_their_rule() -> None:
    it = data("tagging", words=10, tags=6)
    table, kinds = importlib.import_module("attnbench.variants.tasks.tagging").Tagging(words=10, tags=6).rule()
    examples = it.examples("train", 0)
    for tokens, targets in zip(examples.tokens, examples.targets, strict=True):
        mode = before = 0
        for token, target in zip(tokens, targets, strict=True):
            word = int(token) - 1
            assert target == table[word, 2 * mode + before]
            before = kinds[word]
            mode = word - 10 if word >= 10 else mode
    assert all(len({*tags}) == 4 for tags in table[:10])


@pytest.mark.parametrize("side", [32, 64, 128])
def test_discs_lie_on_one_curve_where_the_target_is_one(side: int) -> None:
    it = data("pathfinder", side=side)
    assert isinstance(it, images.Pathfinder)
    generator = it.generator("test of scenes")
    for is_same in (True, False):
        scene = it.scene(is_same, generator)
        on = [[np.abs(end - disc).max() < 1e-9 for end in curve.ends] for curve in scene.long for disc in scene.discs]
        same = any(on[2 * each][0] and on[2 * each + 1][1] for each in range(2))
        assert same == is_same
        assert sum(map(sum, on)) == 2
        assert [len(curve.dashes) for curve in scene.long] == [14, 14]
        assert all(1 <= len(curve.dashes) <= 4 for curve in scene.short)
        dashes = np.concatenate([curve.dashes for curve in (*scene.long, *scene.short)])
        assert 1 <= dashes.min() <= dashes.max() <= side - 1


def test_images_are_grey_and_half_of_them_have_each_target() -> None:
    it = data("pathfinder").examples("train", 0)
    assert np.bincount(it.targets).tolist() == [20, 20]
    assert it.tokens.min() == 0
    assert it.tokens.max() == 255
    assert 0.6 < (it.tokens == 0).mean() < 0.95
    assert len({*it.tokens.ravel()}) > 20, "edges are smooth"


def test_text_comes_from_its_module() -> None:
    it = data("text", length=100).examples("train", 0)
    modules = importlib.import_module("attnbench.variants.tasks.text").MODULES
    for tokens, target in zip(it.tokens, it.targets, strict=True):
        source = Path(sysconfig.get_path("stdlib"), f"{modules[target]}.py").read_bytes()
        assert bytes((tokens - 1).tolist()) in source[: int(0.7 * len(source))]
    assert np.bincount(it.targets).tolist() == [4] * 10


def test_digits_are_split_evenly() -> None:
    pytest.importorskip("sklearn")
    it = tasks.load("digits")()
    splits = [it.examples(split, 0) for split in tasks.SPLITS]
    assert [len(each.targets) for each in splits] == [1_400, 197, 200]
    fits(it.form, splits[0], 1_400)
    assert sum(len(rows(each)) for each in splits) == len(set.union(*map(rows, splits))) == 1_797
    for each in splits:
        counts = np.bincount(each.targets) / len(each.targets)
        assert counts == pytest.approx(0.1, abs=0.015)
    some = tasks.load("digits")(train=100)
    first, other = (some.examples("train", seed) for seed in (0, 1))
    assert np.bincount(first.targets).tolist() == pytest.approx([10] * 10, abs=1)
    assert rows(first) != rows(other)
    assert rows(first) <= rows(splits[0])


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"expected the package scikit-learn, found none; pip install 'att"):
        tasks.load("digits")().examples("train", 0)


def test_a_missing_module_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    assert f"expected the source {tmp_path}/_pydecimal.py, found none" in str(data("text").missing(None))
    (tmp_path / "_pydecimal.py").write_text("x")
    assert "expected at least 60,000 bytes" in str(data("text").missing(None))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing", "data: expected one of copy, .*, found 'nothing'"),
        ("mqar(pairs=40)", r"data: mqar: symbols: expected pairs \(40\) to 16,000, found 32"),
        ("mqar(pears=4)", "data: mqar: expected parameters among train, .*, found pears"),
        ("mqar(tokens=both)", "tokens: expected one of joint, separate, found 'both'"),
        ("copy(length=0)", "length: expected at least 1, found 0"),
        ("pathfinder(side=33)", "side: expected one of 32, 64, 128, found 33"),
        ("listops(longest=20)", r"longest: expected at least shortest \(30\), found 20"),
        ("digits(train=2000)", "train: expected at most 1,400, found 2,000"),
        ("text(length=5000)", "length: expected at most 4,096, found 5,000"),
    ],
)
def test_a_wrong_parameter_is_named(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        tasks.read(text)
    assert "\n" not in str(caught.value)


def test_an_unknown_split_is_named() -> None:
    unknown: Any = "dev"
    with pytest.raises(ValueError, match="split: expected one of train, validation, test, found 'dev'"):
        data("copy").examples(unknown, 0)


@pytest.mark.parametrize("name", tasks.names())
def test_what_is_written_is_read(name: str) -> None:
    assert tasks.written(tasks.load(name)()) == name
    for it in (tasks.load(name)(), tasks.load(name)(train=9)):
        assert tasks.read(tasks.written(it)) == it
    assert tasks.describe(name)


def test_parameters_are_written_as_they_are_read() -> None:
    assert tasks.written(tasks.read("mqar(tokens=separate, pairs=16)")) == "mqar(pairs=16, tokens=separate)"
    with pytest.raises(KeyError):
        tasks.load("nothing")


class Counting:
    """Makes arrays, and counts how often."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self) -> dict[str, Array]:
        self.made += 1
        return {"a": np.arange(1_000), "b": np.zeros((2, 3), np.int16)}


def spoil(path: Path, how: str) -> None:
    if how == "cut":
        path.write_bytes(path.read_bytes()[:100])
    elif how == "other":
        with np.load(path) as file:
            arrays = {**file, "a": np.arange(1_000)[::-1]}
        np.savez(path, **arrays)
    elif how == "text":
        path.write_text("no archive")
    else:
        path.unlink()


@pytest.mark.parametrize("how", ["cut", "other", "text", "gone"])
def test_a_cached_file_that_does_not_match_is_made_anew(how: str) -> None:
    make = Counting()
    for _ in range(2):
        assert np.array_equal(_cache.arrays("it", make)["a"], np.arange(1_000))
    assert make.made == 1
    spoil(_cache.folder() / "it.npz", how)
    for _ in range(2):
        assert np.array_equal(_cache.arrays("it", make)["a"], np.arange(1_000))
    assert make.made == 2
    assert [each.name for each in _cache.folder().iterdir()] == ["it.npz"]


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    make = Counting()
    for _ in range(2):
        assert _cache.arrays("it", make)["b"].shape == (2, 3)
    assert make.made == 2


def test_drawn_trees_are_kept() -> None:
    it = data("listops")
    first = tasks.sha256(it.examples("train", 0))
    (file,) = _cache.folder().iterdir()
    before = hashlib.sha256(file.read_bytes()).hexdigest()
    assert tasks.sha256(it.examples("train", 0)) == first
    assert hashlib.sha256(file.read_bytes()).hexdigest() == before
    data("listops", depth=5).examples("train", 0)
    data("listops").examples("train", 1)
    assert len([*_cache.folder().iterdir()]) == 3
