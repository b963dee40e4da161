"""Columns of the table of a run: what they are called in conditions and on pages, and in which unit they count."""

from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

from attnbench.suites.schema.limits import SIZES, TIMES
from attnbench.variants import AXES

UNITS: Mapping[str, Mapping[str, float]] = {
    "time": {**TIMES, "µs": 1e3},
    "seconds": {unit: scale / 1e9 for unit, scale in TIMES.items()},
    "energy": {"uJ": 1e-6, "µJ": 1e-6, "mJ": 1e-3, "J": 1.0, "kJ": 1e3},
    "size": {**SIZES, "KB": 1e3},
    "rate": {"FLOP/s": 1.0, "MFLOP/s": 1e6, "GFLOP/s": 1e9, "TFLOP/s": 1e12},
    "ratio": {"x": 1.0, "": 1.0},
    "share": {"%": 0.01, "": 1.0},
    "change": {"%": 0.01, "": 1.0},
    "spread": {"%": 0.01, "": 1.0},
}
"""Units of a value in a condition by the kind of its column, in units of the table; other kinds have none."""


class Column(NamedTuple):
    """Column of a table."""

    name: str
    """Its name in the table."""
    word: str
    """A shorter name."""
    title: str
    """Its heading on pages."""
    unit: str
    """The kind of number, see UNITS and `html/templates/format.js`; empty for text, and for yes or no."""

    @property
    def names(self) -> tuple[str, ...]:
        """What conditions may call it: its name, the shorter one, and its heading with `_` for spaces."""
        return tuple(dict.fromkeys((self.name, self.word, self.title.replace(" ", "_"))))


def described(lines: str) -> list[Column]:
    """Read lines of `name | word | title | unit`; an empty word is the name, an empty title the word."""
    parts = [[part.strip() for part in line.split("|")] for line in lines.strip().splitlines()]
    return [Column(name, word or name, title or word or name, unit) for name, word, title, unit in parts]


GROUPS: Mapping[str, list[Column]] = {
    "": described("""
        series     | name | mechanism |
        parameters |      |           |
    """),
    "Result": described("""
        status               |           |                             |
        reason               |           |                             |
        time_ns              | time      | time                        | time
        time_low_ns          | time_low  |                             | time
        time_high_ns         | time_high |                             | time
        processes            |           |                             | count
        speedup              |           | speed-up                    | ratio
        speedup_low          |           |                             | ratio
        speedup_high         |           |                             | ratio
        baseline             |           |                             |
        energy_j             | energy    | energy                      | energy
        energy_low_j         |           |                             | energy
        energy_high_j        |           |                             | energy
        energy_fraction      |           | energy against the baseline | ratio
        energy_fraction_low  |           |                             | ratio
        energy_fraction_high |           |                             | ratio
        tokens_per_s         |           | tokens per second           | number
        steps_per_s          |           | steps per second            | number
        flags                |           |                             |
    """),
    "Score": described("""
        score           | score | share of targets found     | share
        score_low       |       |                            | share
        score_high      |       |                            | share
        score_gain      |       | more than the baseline     | share
        score_gain_low  |       |                            | share
        score_gain_high |       |                            | share
        seeds           |       | models trained             | count
        lr              |       | learning rate              | number
        reach           |       | how far layers look        |
    """),
    "Proof": described("""
        proved          |       | share of elements checked    | share
        repeats_exactly |       | repeats exactly              |
        max_abs_error   | error | error                        | error
        error_vs_full   |       | error against full attention | number
        error_of_mean   |       | the same of the mean         | number
        ties            |       |                              | count
        proof_s         |       | time of the proof            | seconds
    """),
    "Work": described("""
        allowed_pairs    |       | pairs allowed         | count
        computed_pairs   |       | pairs computed        | count
        waste            |       |                       | number
        flops            |       | FLOPs of a call       | count
        flops_per_s      |       | FLOPs per second      | rate
        bound_speedup    | bound | bound on the speed-up | ratio
        realised         |       |                       | share
        roof_share       |       | share of the roof     | share
        roof_share_low   |       |                       | share
        roof_share_high  |       |                       | share
        roof_flops_per_s |       | roof                  | rate
        parameter_count  |       | learned numbers       | count
    """),
    "Memory": described("""
        peak_bytes      | memory | peak memory               | size
        peak_fraction   |        | peak against the baseline | number
        gross_bytes     |        | with inputs and masks     | size
        net_bytes       |        | without what is returned  | size
        resident_bytes  |        | growth of the process     | size
        reserved_bytes  |        | reserved by the allocator | size
        predicted_bytes |        | predicted peak            | size
        prepared_bytes  |        | masks and layouts         | size
        state_bytes     |        | cache or state            | size
        rank_bytes      |        | peak memory of a rank     | size
        sent_bytes      |        | sent by a rank            | size
        budget_bytes    |        | budget                    | size
        fits_up_to      |        | fits the budget up to N   | count
        fits_source     |        | known by                  |
    """),
    "Spread": described("""
        within_sd               |  | within a process    | spread
        between_sd              |  | between processes   | spread
        drift                   |  | change over the run | spread
        drift_p                 |  | its p value         | number
        processes_for_1_percent |  | processes for ±1%   | count
    """),
    "Before the first value": described("""
        prepare_ns     | prepare    | building masks and layouts | time
        compile_ns     | compile    | compilation                | time
        compile_cached |            | found on disk              |
        first_call_ns  | first_call | first call                 | time
    """),
    "Setting": described("""
        device           |          |                         |
        dtype            |          |                         |
        direction        |          |                         |
        threads          |          |                         |
        level            |          |                         |
        batch            |          |                         | plain
        heads            |          |                         | plain
        kv_heads         |          | key heads               | plain
        seq_len          | N        | N                       | plain
        head_dim         |          | head dimension          | plain
        layout           |          |                         |
        padding          |          |                         |
        copy_bytes_per_s |          | fastest copy per second | size
        hot_time_ns      | hot_time | time with a hot cache   | time
        host_ns          | host     | time of the host        | time
        launch_bound     |          | launch bound            |
        throttled        |          |                         |
        torch_kernel     |          | kernel of torch         |
        parts            |          | parts of the run        |
    """),
    "Case": described("""
        variant        |  |     |
        implementation |  |     |
        label          |  |     |
        family         |  |     |
        case           |  | key |
    """),
}
"""Every column of a run's table, under the headings of the details of a case."""

NAMES = frozenset(name for found in GROUPS.values() for each in found for name in each.names)
"""What the columns of every run are called. A parameter does not get such a name."""


def groups(frame: pd.DataFrame) -> dict[str, list[Column]]:
    """Return the columns of a frame under their headings; those that are not in GROUPS are axes and parameters."""
    found = {group: [each for each in listed if each.name in frame] for group, listed in GROUPS.items()}
    listed = {each.name for group in found.values() for each in group}
    for name in map(str, frame):
        if name not in listed:
            found["Setting" if name in AXES else "Case"].append(other(frame[name]))
    return found


def other(column: pd.Series) -> Column:
    """Return a column that is not in GROUPS: its kind is a plain number or nothing."""
    name = str(column.name)
    is_number = pd.api.types.is_numeric_dtype(column) and not is_flag(column)
    return Column(name, name, name, "plain" if is_number else "")


def is_flag(column: pd.Series) -> bool:
    """Return whether a column holds yes or no."""
    return bool(pd.api.types.is_bool_dtype(column.dtype))


def named(frame: pd.DataFrame) -> dict[str, Column]:
    """Return the columns of a frame by each of their names."""
    return {name: each for found in groups(frame).values() for each in found for name in each.names}
