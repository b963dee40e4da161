"""Tables of what models learned: scores of all tasks in the layout of Long Range Arena, and each task in detail."""

import math

from attnbench.reports.findings import lra
from attnbench.reports.findings.learned import Learned, Model, Spread
from attnbench.reports.findings.run import Run
from attnbench.reports.text import by_score, escape, units
from attnbench.reports.text.cells import NONE, SHORT

HEAD = """\
The score is the share of targets of the test that a model finds, in percent, as the mean over seeds with the 95 %
interval that they allow (Student t). Bold scores are the best of a task, and those whose interval reaches the best."""

PUBLISHED = """\
Rows in italics are published: Tay et al. 2020, arXiv 2011.04006, table 1. Their models have unequal sizes.
Only `lra_*` are the same data: `listops` has shorter trees here, `text` asks another question, and `pathfinder` is
drawn anew."""


def markdown(run: Run) -> str:
    """Return the scores of all tasks side by side, and then a table of each task."""
    looked = [each for each in run.learned if any(model.reach for model in each.models)]
    head = [HEAD, PUBLISHED] if any(map(_published_task, run.learned)) else [HEAD]
    return "\n\n".join([*head, _arena(run.learned), *map(_task, run.learned), *map(_reach, looked)])


def _arena(found: tuple[Learned, ...]) -> str:
    """Return mechanisms by tasks, with the mean over tasks where there are several."""
    variants = {each.name: str(each.case["variant"]) for task in found for each in task.models}
    several, rows = len(found) > 1, []
    for name in variants:
        models = [next((each for each in task.models if each.name == name), None) for task in found]
        cells = [_score(task, each) if each else _ended(task, name) for task, each in zip(found, models, strict=True)]
        scores = [each.score.mean for each in models if each]
        mean = [f"{100 * sum(scores) / len(scores):.1f}" if len(scores) == len(found) else NONE] if several else []
        rows.append([escape.text(name), *cells, *mean])
        published = lra.published().get(lra.model_of(variants[name]))
        if published and any(map(_published_task, found)):
            told = [published.scores.get(_published_task(task), math.nan) for task in found]
            cells = [NONE if math.isnan(each) else f"*{each:.1f}*" for each in told]
            rows.append([f"*{published.name}*", *cells, *([NONE] if several else [])])
    chance = [f"{100 * task.task.form.chance:.1f}" for task in found]
    mean = [f"{100 * sum(task.task.form.chance for task in found) / len(found):.1f}"] if several else []
    header = ["", *(escape.text(task.task.data) for task in found), *(["mean"] if several else [])]
    return escape.table(header, [*rows, ["*guessing*", *chance, *mean]])


def _published_task(found: Learned) -> str:
    """Return the published task that is of the kind of a task of the run, or an empty text."""
    return lra.TASKS.get(found.task.source.name, "")


def _ended(task: Learned, name: str) -> str:
    return SHORT.get(dict(task.others).get(name, ""), NONE)


def _score(task: Learned, each: Model) -> str:
    told = by_score.percent(*each.score)
    return f"**{told}**" if task.has_intervals and each in task.best else told


def _gain(found: Spread) -> str:
    """Write a difference of scores in points."""
    if math.isnan(found.mean):
        return NONE
    if math.isnan(found.low):
        return f"{100 * found.mean:+.1f}"
    return f"{100 * found.mean:+.1f} ({100 * found.low:+.1f} to {100 * found.high:+.1f})"


def _task(found: Learned) -> str:
    """Return the mechanisms of one task: score, gain, speed, memory, size and learning rate."""
    against = escape.text(found.baseline) or "the baseline"
    header = ["", "score", f"points more than {against}", "seeds", "examples/s", "memory", "learned numbers", "rate"]
    rows = [
        [
            escape.text(each.name),
            _score(found, each),
            NONE if each.name == found.baseline else _gain(each.gain),
            str(each.case["seeds"]),
            units.number(each.examples_per_s, 2),
            units.size(each.case["peak_bytes"]),
            f"{int(each.case['parameter_count']):,} ({100 * each.extra_parameters:+.1f}%)",
            f"{each.case['lr']:g}",
        ]
        for each in found.models
    ]
    return f"### {escape.text(found.task.data)}: scores and what they cost\n\n{escape.table(header, rows)}"


def _reach(found: Learned) -> str:
    """Return how far each layer of the mechanisms looks: field, span, and error against full attention."""
    models = [each for each in found.models if each.reach]
    header = ["", *(f"layer {layer + 1}" for layer in range(max(len(each.reach) for each in models)))]
    rows = [[escape.text(each.name), *(" / ".join(map(_number, layer)) for layer in each.reach)] for each in models]
    title = f"### {escape.text(found.task.data)}: receptive field / attention span, in tokens / error against full"
    return f"{title}\n\n{escape.table(header, rows)}"


def _number(found: float | None) -> str:
    return NONE if found is None else units.number(found, 2)
