"""Training of the model of a case at level `task` with one seed, and its score."""

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from attnbench.runner.worker import reach
from attnbench.runner.worker.call import calls, mechanisms, programs
from attnbench.runner.worker.call.weights import held
from attnbench.runner.worker.process import failure, leftovers
from attnbench.runner.worker.process.failure import Stage
from attnbench.suites import Case, Status
from attnbench.suites.result import Reach, Score
from attnbench.variants import tasks
from attnbench.variants.levels import Around, Attend, Held
from attnbench.variants.levels._learning import Learning
from attnbench.variants.levels.sequence_task import SequenceTask
from attnbench.variants.levels.task import Task
from attnbench.variants.tasks import UNSCORED, DataError, Examples

PARTS = 20
"""The steps are told in so many parts: the mean loss of each, and from the second tenth on the mean time of a step."""
_WARM_UP = 0.1
"""Share of the steps in which the learning rate rises."""
_MOST_NORM = 1.0
_CONTENTS = 2**20
"""Seeds of the first weights begin here, above those of the proof."""
_SEARCH = 2**16
"""The replicate whose seed a search takes."""

Heard = Callable[[str, float], None]
"""Function that is told at which step a training is, and which share of it is done."""


class Diverged(Exception):
    """A loss is not finite."""


@dataclass(frozen=True)
class Model:
    """A model that is trained: its layers and its weights."""

    case: Case
    around: Around
    attends: Sequence[Attend]
    layers: Sequence[Attend]
    every: Held

    @property
    def level(self) -> Learning:
        """The level around the layers."""
        assert isinstance(self.around.outer, Learning)
        return self.around.outer

    def loss(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of a batch."""
        return self.level.call(self.case.setting, self.layers, self.every.outer, tokens, targets).mean()

    def right(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """Return which targets it finds most likely, `B`, `B N` or `B M`; those of a sequence after the true ones."""
        level, given = self.level, (self.case.setting, self.layers, self.every.outer, tokens)
        with torch.no_grad():
            if isinstance(level, SequenceTask):
                return level.predicted(*given, targets).argmax(dim=-1) == targets[:, 1:]
            return level.scores(*given).argmax(dim=-1) == targets


def train(case: Case, replicate: int, seed: int, lr: float | None, stage: Stage) -> Score:
    """Train a case's model with one seed and score it on the test of its data.

    Weights depend on the run's `seed` and the replicate, and so does the order of examples, which all cases share. With
    no `lr`, the learning rate is that of the suite, or is searched.
    """
    running = leftovers.snapshot()
    try:
        found = _scored(case, replicate, seed, lr, stage)
        leftovers.refuse(running)
    except DataError as error:
        return Score(case.key, Status.UNSUPPORTED, str(error), replicate=replicate)
    except Diverged as error:
        return Score(case.key, Status.FAILED, str(error), replicate=replicate)
    except BaseException as error:  # a mechanism may raise anything; only its own case ends
        return Score(case.key, *failure.of_exception(error), replicate=replicate)
    finally:
        leftovers.end_processes(running)
    return found


def _scored(case: Case, replicate: int, seed: int, lr: float | None, stage: Stage) -> Score:
    stage("reading its data")
    level, place = _level(case), tasks.folder()
    splits = train, validation, test = tuple(level.source.examples(split, seed, place) for split in tasks.SPLITS)
    searched = list[tuple[float, float]]()
    rates = level.rates if lr is None else ()
    for done, rate in enumerate(rates):
        stage(f"training it with the learning rate {rate:g}", anew=True)
        heard = partial(_heard, stage, f"searching, with the learning rate {rate:g}", done, len(rates) + 1)
        # A seed of its own, so that the chosen rate is not the one that suits a scored model by chance.
        searched.append((rate, _validated(case, _SEARCH, seed, rate, train, validation, heard)))
    if searched:
        lr = max(searched, key=itemgetter(1))[0]
    lr = level.rate(case.mechanism.name) if lr is None else lr
    stage("training it", anew=bool(searched))
    model = _model(case, replicate, seed)
    heard = partial(_heard, stage, "training it", len(rates), len(rates) + 1)
    trained = _steps(model, lr, _batches(model, train, replicate, seed), heard)
    stage("scoring it")
    looked = _reach(model, test) if level.reach else ()
    return Score(
        case.key,
        Status.PASSED,
        "",
        replicate=replicate,
        calls=trained.steps,
        values_ns=trained.step_ns,
        warmup_calls=level.steps - trained.steps * len(trained.step_ns),
        score=_share_right(model, test),
        validation=_share_right(model, validation),
        lr=lr,
        searched=tuple(searched),
        losses=trained.losses,
        reach=looked,
        data_sha256=hashlib.sha256("".join(map(tasks.sha256, splits)).encode()).hexdigest(),
    )


def _heard(stage: Stage, doing: str, before: int, trainings: int, step: str, share: float) -> None:
    """Tell the parent at which step a training is, after so many of all `trainings` of a case."""
    stage(f"{doing}: {step}", share=(before + share) / trainings)


def _validated(
    case: Case, replicate: int, seed: int, lr: float, train: Examples, validation: Examples, heard: Heard
) -> float:
    """Return the score on validation of a model trained with a learning rate; 0 if it diverges."""
    model = _model(case, replicate, seed)
    try:
        _steps(model, lr, _batches(model, train, replicate, seed), heard)
    except Diverged:
        return 0.0
    return _share_right(model, validation)


def _reach(model: Model, test: Examples) -> tuple[Reach, ...]:
    """Return how far each layer of a trained encoder looks, on the first batch of the test."""
    level, around = model.level, model.around
    if not isinstance(level, Task):
        return ()
    many = model.case.setting.shape.batch // level.form.documents
    tokens, _ = _placed(model, test, np.arange(many) % len(test.targets))
    layers = partial(around.layers, model.case.setting, weights=model.every)
    return reach.measure(model.case.places[0], level, model.attends, layers, model.every.outer, tokens)


def _level(case: Case) -> Learning:
    around = mechanisms.around(case)
    assert around
    assert isinstance(around.outer, Learning)
    return around.outer


def _model(case: Case, replicate: int, seed: int) -> Model:
    """Build the case's model with the first weights of a seed."""
    content = 2 * (_CONTENTS * (seed + 1) + replicate)
    around, every = mechanisms.around(case), held(case, content)
    assert around
    attends = [each.call for each in programs.of_places(case, every, content)]
    return Model(case, around, attends, around.layers(case.setting, attends, every), every)


class Trained(NamedTuple):
    """How a training went, in parts of so many steps."""

    steps: int
    losses: tuple[float, ...]
    """The mean loss of each part."""
    step_ns: tuple[float, ...]
    """The mean nanoseconds of a step, without the parts in which the learning rate rises."""


def _steps(model: Model, lr: float, batches: Iterator[tuple[Tensor, Tensor]], heard: Heard) -> Trained:
    """Take all steps of a training. `heard` is told each part.

    Raises:
        Diverged: a loss is not finite.
    """
    level, device = model.level, model.case.setting.device
    learned = [each for each in model.every.flat if each.requires_grad]
    optimiser = torch.optim.AdamW(learned, lr=lr)
    part = max(1, level.steps // PARTS)
    losses, times, taken = list[float](), list[float](), list[tuple[float, float]]()
    for step in range(level.steps):
        tokens, targets = next(batches)
        for group in optimiser.param_groups:
            group["lr"] = lr * _rate(step, level.steps)
        calls.wait(device)
        begun = time.perf_counter_ns()
        loss = model.loss(tokens, targets)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch
        torch.nn.utils.clip_grad_norm_(learned, _MOST_NORM)
        optimiser.step()
        told = float(loss.detach())  # waits for the device
        calls.wait(device)
        taken.append((told, time.perf_counter_ns() - begun))
        if not math.isfinite(told):
            raise Diverged(f"diverged at step {step + 1}: its loss is {told}")
        if len(taken) == part:
            loss_of_part, time_of_part = (sum(each) / part for each in zip(*taken, strict=True))
            losses.append(round(loss_of_part, 6))
            if step >= min(_WARM_UP * level.steps, level.steps - part):
                times.append(round(time_of_part, 1))
            taken.clear()
            heard(f"step {step + 1} of {level.steps}, loss {loss_of_part:.3g}", (step + 1) / level.steps)
    return Trained(part, tuple(losses), tuple(times))


def _rate(step: int, steps: int) -> float:
    """Return the learning rate of a step as a share of the highest: a linear rise, then a cosine to 0."""
    warm = max(1, round(_WARM_UP * steps))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def _batches(model: Model, examples: Examples, replicate: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches without end, in a new order each time that all examples were used."""
    rng = np.random.Generator(np.random.PCG64([seed, replicate]))
    many = model.case.setting.shape.batch // model.level.form.documents
    order = rng.permutation(len(examples.targets))
    while True:
        while len(order) < many:
            order = np.concatenate([order, rng.permutation(len(examples.targets))])
        yield _placed(model, examples, order[:many])
        order = order[many:]


def _share_right(model: Model, examples: Examples) -> float:
    """Return the share of scored targets that a model finds."""
    many, count = model.case.setting.shape.batch // model.level.form.documents, len(examples.targets)
    right = total = 0
    for start in range(0, count, many):
        # The last batch is filled up with the first examples.
        tokens, targets = _placed(model, examples, np.arange(start, start + many) % count)
        found, scored = model.right(tokens, targets), targets != UNSCORED
        scored = scored[:, 1:] if found.shape != scored.shape else scored
        right += int((found & scored)[: count - start].sum())
        total += int(scored[: count - start].sum())
    return right / total


def _placed(model: Model, examples: Examples, which: np.ndarray[Any, Any]) -> tuple[Tensor, Tensor]:
    """Return the tokens `B N` and the targets of some examples on the case's device."""
    form, device = model.level.form, model.case.setting.device
    tokens = examples.tokens[which].astype(np.int64)
    if form.fields > 1:
        tokens = tokens @ form.vocabulary ** np.arange(form.fields)
    tokens, targets = tokens.reshape(-1, form.seq_len), examples.targets[which]
    if form.kind == "sequence":
        targets = np.pad(targets + 1, ((0, 0), (1, 0)))
    return torch.from_numpy(tokens).to(device), torch.from_numpy(targets).to(device)
