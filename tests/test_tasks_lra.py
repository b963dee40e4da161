"""Loaders of Long Range Arena's files, on small files in the same formats."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_tasks import fits

from attnbench.variants import tasks
from attnbench.variants.tasks import DataError, Split


def write_listops(folder: Path) -> None:
    place = folder / "listops-1000"
    place.mkdir(parents=True)
    lines = ["( ( ( [MAX 3 ) 5 ) ] )\t5", "( ( ( [SM 9 ) ( ( ( [MIN 4 ) 2 ) ] ) ) ] )\t1", "7\t7"]
    for split in ("train", "val", "test"):
        (place / f"basic_{split}.tsv").write_text("\n".join(["Source\tTarget", *lines]) + "\n")


def write_text(folder: Path) -> None:
    for part in ("train", "test"):
        for side, target in (("neg", 0), ("pos", 1)):
            place = folder / "aclImdb" / part / side
            place.mkdir(parents=True)
            for number in range(10):
                (place / f"{number}_{target}.txt").write_text(f"{part} {number} {side} é")


def write_retrieval(folder: Path) -> None:
    (folder / "tsv_data").mkdir(parents=True)
    for split in ("train", "eval", "test"):
        lines = ['1.0\tA1\tA2\tsays "yes\tthe other', "0.0\tB1\tB2\tshort\t" + "long " * 20]
        (folder / f"tsv_data/new_aan_pairs.{split}.tsv").write_text("\n".join(lines) + "\n")


def write_image(folder: Path) -> None:
    place = folder / "cifar-10-batches-bin"
    place.mkdir(parents=True)
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    for number, name in enumerate(names):
        records = np.full((4, 3_073), 10 * number, np.uint8)
        records[:, 0] = np.arange(4)
        records[0, 1:1_025] = 255  # red
        (place / f"{name}.bin").write_bytes(records.tobytes())


def write_pathfinder(folder: Path) -> None:
    place = folder / "pathfinder32/curv_contour_length_14"
    (place / "metadata").mkdir(parents=True)
    for batch in ("0", "1", "10"):
        (place / "imgs" / batch).mkdir(parents=True)
        lines = []
        for number in range(10):
            name, label = f"sample_{number}.png", number % 2
            grey = np.full((32, 32), 10 * number + int(batch), np.uint8)
            grey[0, 1] = 200 + label
            Image.fromarray(grey).save(place / "imgs" / batch / name)
            lines.append(f"imgs/{batch} {name} {number} {label} 1.0 14 4 2 0.5 1 1")
        (place / f"metadata/{batch}.npy").write_text("\n".join(lines) + "\n")
    (place / "imgs/0/sample_3.png").write_bytes(b"")


WRITERS: dict[str, Callable[[Path], None]] = {
    "lra_listops": write_listops,
    "lra_text": write_text,
    "lra_retrieval": write_retrieval,
    "lra_image": write_image,
    "lra_pathfinder": write_pathfinder,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with small files of all five."""
    for write in WRITERS.values():
        write(tmp_path)
    return tmp_path


@pytest.mark.parametrize("split", tasks.SPLITS)
@pytest.mark.parametrize("name", WRITERS)
def test_examples_have_their_form(name: str, split: Split, folder: Path) -> None:
    it = tasks.load(name)()
    examples = it.examples(split, 0, folder)
    fits(it.form, examples, len(examples.targets))
    assert tasks.sha256(examples) == tasks.sha256(it.examples(split, 0, folder))
    few = tasks.load(name)(**{split: 1}).examples(split, 0, folder)
    assert np.array_equal(few.tokens, examples.tokens[:1])


@pytest.mark.parametrize("name", ["lra_text", "lra_image", "lra_pathfinder"])
def test_splits_share_no_example(name: str, folder: Path) -> None:
    it = tasks.load(name)()
    splits = [it.examples(split, 0, folder) for split in tasks.SPLITS]
    found = [
        (*row.tolist(), int(target)) for each in splits for row, target in zip(each.tokens, each.targets, strict=True)
    ]
    assert name == "lra_image" or len(found) == len({*found})
    train, validation, _ = splits
    assert len(validation.targets) * 8 <= len(train.targets)


def test_listops_are_read_with_a_fixed_vocabulary(folder: Path) -> None:
    it = tasks.read("lra_listops(length=6)").examples("train", 0, folder)
    assert it.tokens.tolist() == [[12, 4, 6, 15, 0, 0], [14, 10, 11, 5, 3, 15], [8, 0, 0, 0, 0, 0]]
    assert it.targets.tolist() == [5, 1, 7]
    assert it.lengths is not None
    assert it.lengths.tolist() == [4, 6, 1]


def test_reviews_are_bytes(folder: Path) -> None:
    it = tasks.read("lra_text(length=30)").examples("train", 0, folder)
    assert it.lengths is not None
    for tokens, target, length in zip(it.tokens, it.targets, it.lengths, strict=True):
        review = bytes((tokens[:length] - 1).tolist()).decode()
        assert review.split()[0] == "train"
        assert review.split()[2:] == [("neg", "pos")[target], "é"]
    assert len(it.targets) == 18


def test_quotes_of_papers_are_text(folder: Path) -> None:
    it = tasks.read("lra_retrieval(length=12)").examples("test", 0, folder)
    assert it.tokens.shape == (2, 2, 12)
    assert bytes((it.tokens[0, 0, :9] - 1).tolist()) == b'says "yes'
    assert it.lengths is not None
    assert it.lengths.tolist() == [[9, 9], [5, 12]]
    assert it.targets.tolist() == [1, 0]


def test_images_are_grey(folder: Path) -> None:
    splits = [tasks.load("lra_image")().examples(split, 0, folder) for split in tasks.SPLITS]
    assert [len(each.targets) for each in splits] == [18, 2, 4]
    assert splits[0].tokens[0].tolist() == [76] * 1_024  # 0.2989 of 255
    assert splits[0].tokens[5].tolist() == [10] * 1_024
    assert splits[0].targets[:5].tolist() == [0, 1, 2, 3, 0]


def test_an_empty_image_is_left_out(folder: Path) -> None:
    splits = [tasks.load("lra_pathfinder")().examples(split, 0, folder) for split in tasks.SPLITS]
    assert [len(each.targets) for each in splits] == [25, 2, 2]
    for each in splits:
        assert np.array_equal(each.tokens[:, 1] - 200, each.targets)


@pytest.mark.parametrize("name", WRITERS)
def test_a_missing_folder_is_named(name: str, tmp_path: Path) -> None:
    it = tasks.load(name)()
    for folder in (None, tmp_path, tmp_path / "none"):
        problem = it.missing(folder)
        assert problem
        assert problem.startswith(f"{name}: expected ")
        assert "\n" not in problem
        with pytest.raises(DataError):
            it.examples("test", 0, folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "tsv_data/new_aan_pairs.eval.tsv").unlink()
    assert f"expected {folder}/tsv_data/new_aan_pairs.eval.tsv (" in str(tasks.load("lra_retrieval")().missing(folder))


WRONG: list[tuple[str, str, Any, str]] = [
    ("lra_listops", "listops-1000/basic_test.tsv", "5\t5\n", ":1: expected the header"),
    ("lra_listops", "listops-1000/basic_test.tsv", "Source\tTarget\n( [FIRST 1 ) ]\t1\n", ":2: expected a tree"),
    ("lra_listops", "listops-1000/basic_test.tsv", "Source\tTarget\n5\n", ":2: expected a tree"),
    ("lra_retrieval", "tsv_data/new_aan_pairs.test.tsv", "1.0\ta\tb\tc\n", ":1: expected 0.0 or 1.0"),
    ("lra_image", "cifar-10-batches-bin/test_batch.bin", "x" * 3_073, "expected classes 0 to 9, found 120"),
    ("lra_image", "cifar-10-batches-bin/test_batch.bin", "x", "expected records of 3,073 bytes"),
    ("lra_pathfinder", "pathfinder32/curv_contour_length_14/metadata/1.npy", "imgs/1 a.png 0", ":1: expected a folder"),
    ("lra_pathfinder", "pathfinder32/curv_contour_length_14/metadata/1.npy", "a b 0 1", ":1: expected the image"),
]


@pytest.mark.parametrize(("name", "place", "content", "message"), WRONG)
def test_a_wrong_file_is_named(name: str, place: str, content: str, message: str, folder: Path) -> None:
    (folder / place).write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        tasks.load(name)().examples("test", 0, folder)
    assert str(caught.value).startswith(str(folder / place))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("how", ["text", "size"])
def test_a_wrong_image_is_named(how: str, folder: Path) -> None:
    for path in (folder / "pathfinder32").rglob("*.png"):
        if how == "text":
            path.write_text("no image")
        else:
            Image.fromarray(np.zeros((8, 9), np.uint8)).save(path)
    with pytest.raises(DataError, match="png: expected"):
        tasks.load("lra_pathfinder")().examples("test", 0, folder)
