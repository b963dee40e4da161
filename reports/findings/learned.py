"""What the models of a run learned: for each task, the scores of mechanisms beside speed, memory and size."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import pandas as pd

from attnbench.reports.data.settings import SETTING, Setting, names
from attnbench.reports.data.values import FEWEST_PROCESSES
from attnbench.variants import FLOOR, levels, tasks
from attnbench.variants.levels._learning import Learning


class Spread(NamedTuple):
    """A mean over seeds with its 95 % interval; NaN if there are too few seeds."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Model:
    """A mechanism that learned a task."""

    name: str
    case: pd.Series
    score: Spread
    gain: Spread
    """Its score less the baseline's, seed by seed."""
    examples_per_s: float
    """Examples that are trained in a second."""
    extra_parameters: float
    """Learned numbers beyond those of full attention, or of the first mechanism, as a share of these."""
    reach: tuple[tuple[float | None, ...], ...]
    """For each layer its receptive field, its attention span, and its error against full attention, if known."""


@dataclass(frozen=True, eq=False)
class Learned:
    """A task of a run, and the mechanisms that learned it, the best first."""

    setting: Setting
    task: Learning
    models: tuple[Model, ...]
    others: tuple[tuple[str, str], ...]
    """The mechanisms without a score, and how they ended."""

    @property
    def baseline(self) -> str:
        """The name of the mechanism that the others are compared with; empty if there is none."""
        return next((str(each.case["baseline"]) for each in self.models if each.case["baseline"]), "")

    @property
    def best(self) -> tuple[Model, ...]:
        """The best mechanism, and those whose interval reaches its interval."""
        first = self.models[0]
        return tuple(each for each in self.models if each is first or each.score.high >= first.score.low)

    @property
    def guessing(self) -> tuple[Model, ...]:
        """The mechanisms that are not shown to score more than chance."""
        return tuple(each for each in self.models if not each.score.low > self.task.form.chance)

    @property
    def unbeaten_floor(self) -> Model | None:
        """The model without mixing, if no mechanism is shown to score more."""
        return next((each for each in self.best if each.case["family"] == FLOOR), None)

    @property
    def has_intervals(self) -> bool:
        """Check whether there are enough seeds."""
        return all(each.case["seeds"] >= FEWEST_PROCESSES for each in self.models)


@dataclass(frozen=True, eq=False)
class BySize:
    """Tasks that differ in the number of examples to train with alone, the fewest first."""

    data: str
    """The data without this number."""
    tasks: tuple[Learned, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """The numbers of examples."""
        return tuple(each.task.source.train for each in self.tasks)

    @property
    def frame(self) -> pd.DataFrame:
        """The cases with a score, with a column `examples`."""
        frames = (each.setting.frame.assign(examples=size) for each, size in zip(self.tasks, self.sizes, strict=True))
        found = pd.concat(list(frames))
        return found[found["score"].notna()]


def by_size(found: Sequence[Learned]) -> Iterator[BySize]:
    """Yield the tasks that differ in the number of examples to train with alone, if there are several."""
    others = [name for name in SETTING if name not in ("level", "seq_len")]
    alike: dict[tuple[object, ...], list[Learned]] = {}
    for each in found:
        whole = tasks.written(replace(each.task.source, train=type(each.task.source)().train))
        place = tuple(str(each.setting.frame[name].iloc[0]) for name in others)
        alike.setdefault((replace(each.task, data=whole), *place), []).append(each)
    for (task, *_), same in alike.items():
        if len(same) > 1:
            assert isinstance(task, Learning)
            yield BySize(task.data, tuple(sorted(same, key=lambda each: each.task.source.train)))


def learned(settings: Sequence[Setting]) -> Iterator[Learned]:
    """Yield the settings that train models, those without any score left out."""
    for setting in settings:
        task = levels.read(setting.frame["level"].iloc[0])
        scored = setting.frame["score"].notna()
        if isinstance(task, Learning) and scored.any():
            yield _learned(setting, task)


def _learned(setting: Setting, task: Learning) -> Learned:
    frame = setting.frame
    full = frame[(frame["variant"] == "full") & frame["parameter_count"].notna()]
    first = full if len(full) else frame[frame["parameter_count"].notna()]
    size = float(first["parameter_count"].iloc[0])
    named = list(zip(names(frame), (row for _, row in frame.iterrows()), strict=True))
    models = [_model(name, row, task, size) for name, row in named if not pd.isna(row["score"])]
    others = tuple((name, str(row["status"])) for name, row in named if pd.isna(row["score"]))
    return Learned(setting, task, tuple(sorted(models, key=lambda each: -each.score.mean)), others)


def _model(name: str, row: pd.Series, task: Learning, size: float) -> Model:
    score, gain = (
        Spread(*(float(row[f"{column}{end}"]) for end in ("", "_low", "_high"))) for column in ("score", "score_gain")
    )
    examples = int(row["batch"]) // task.form.documents
    return Model(
        name,
        row,
        score,
        gain,
        examples_per_s=float(row["steps_per_s"]) * examples,
        extra_parameters=float(row["parameter_count"]) / size - 1,
        reach=tuple(map(tuple, json.loads(row["reach"] or "[]"))),
    )
