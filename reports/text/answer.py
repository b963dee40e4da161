"""The answer to a suite's question in sentences that the tables confirm."""

import re

import pandas as pd

from attnbench.reports.data.frame import Run
from attnbench.reports.data.settings import SERIES, Setting, names, settings
from attnbench.reports.text import by_direction, by_keys, by_length, by_threads, outcomes

_MOST_IN_DETAIL = 4
"""With more settings than this, or where they differ by threads, each is told in short."""


def answer(run: Run) -> list[str]:
    """Sentences about what the run varies, then what passed and what did not.

    Over threads: what more of them buy. Over keys per query: up to how many a pattern beats the baseline, and what one
    more costs. Over lengths: who beats the baseline from when on, who is fastest, how time and memory grow and what was
    realised of the work saved. Over directions: what gradients cost.

    Brackets hold 95 % intervals. Where there are too few processes for one, nothing is said to differ.
    """
    measured = [each for each in settings(run.frame) if (each.frame["status"] == "passed").any()]
    found = by_threads.sentences(run)
    detailed = len(measured) <= _MOST_IN_DETAIL and not found
    found += [sentence for each in measured for sentence in _of(run, each, detailed=detailed)]
    found += by_direction.sentences(run)
    return _shortened(run.frame, [*found, *outcomes.sentences(run.frame)])


def _of(run: Run, setting: Setting, *, detailed: bool) -> list[str]:
    """The sentences of one setting: over keys per query, over lengths, or both."""
    told = by_keys.sentences(run, setting)
    if not told or setting.frame["seq_len"].nunique() > 1:
        told += by_length.sentences(run, setting, detailed=detailed)
    return [f"{setting.title}: {each}" for each in told]


def _shortened(frame: pd.DataFrame, sentences: list[str]) -> list[str]:
    """The sentences without the implementation of each label that has but one."""
    pairs = frame[list(SERIES)].drop_duplicates()
    alone = pairs[~pairs["label"].duplicated(keep=False)]
    for name, label in zip(names(alone), alone["label"], strict=True):
        whole = re.compile(rf"(?<![\w/]){re.escape(name)}(?!\w)")
        sentences = [label.join(whole.split(each)) for each in sentences]
    return sentences
