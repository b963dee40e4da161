"""Results of a run for one setting: what its tables, figures and sentences say."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from attnbench.reports.data import against
from attnbench.reports.data.settings import Setting, comparison_length, names, scaled, without_floor
from attnbench.reports.data.values import FloatArray
from attnbench.reports.findings import implementations, lengths
from attnbench.reports.findings.sweeps import Sweep, common_density, sweeps
from attnbench.reports.stats.statistics import IntArray


@dataclass(frozen=True, eq=False)
class Results:
    """Results of a run for one setting."""

    setting: Setting
    baseline: str
    """The series that the others are compared with; empty if there is none."""
    other_baselines: tuple[tuple[str, float], ...]
    """The suite's other baselines, each with its speed as a multiple of the baseline's."""
    several_lengths: bool
    compared_at: int
    """The length at which series are compared; 0 if no case passed."""
    growth: list[tuple[str, pd.Series]]
    """Each series with its row of the run's `scaling`."""
    fastest: lengths.Fastest | None
    leading: dict[int, frozenset[str]]
    """At each length, the fastest series and those that are not shown to be slower."""
    implementations: list[implementations.Best]
    """The fastest implementation of each variant that has several, at each length."""
    standing: lengths.Standing
    errors: pd.DataFrame
    floors: list[lengths.Floor]
    kept: list[lengths.Kept]
    """What series keep to decode; empty in other directions."""
    sweeps: tuple[Sweep, ...]
    """The sweeps over keys per query."""
    density: float | None
    """The lowest density that all sweeps reach; None if there is none."""

    @property
    def passed(self) -> bool:
        """Check whether any case passed."""
        return self.fastest is not None

    @cached_property
    def cases(self) -> dict[str, dict[int, pd.Series]]:
        """The cases of each series that is supported at some length, by length, the shortest first."""
        frame, found = self.setting.frame.sort_values("seq_len", kind="stable"), dict[str, dict[int, pd.Series]]()
        # One walk over the frame: a part of it for each series would copy all its columns each time.
        for name, (_, row) in zip(names(frame), frame.iterrows(), strict=True):
            found.setdefault(name, {})[int(row["seq_len"])] = row
        supported = dict.fromkeys(names(self.setting.frame[self.setting.frame["status"] != "unsupported"]))
        return {name: found[name] for name in dict.fromkeys(names(self.setting.frame)) if name in supported}

    @property
    def has_energy(self) -> bool:
        """Check whether the energy of some case is known."""
        return bool(self.setting.frame["energy_j"].notna().any())


def results(
    setting: Setting,
    scaling: pd.DataFrame,
    log_ns: FloatArray,
    paired_log_ns: FloatArray,
    baseline_rows: IntArray,
    baselines: Sequence[str],
) -> Results:
    """Compute the results of a setting; the arrays and `scaling` are those of the run, `baselines` its suite's."""
    frame, rivals = setting.frame, without_floor(setting.frame)
    n = comparison_length(rivals) if (rivals["status"] == "passed").any() else 0
    found = sweeps(rivals, log_ns, paired_log_ns)
    growth = scaled(scaling, setting)
    return Results(
        setting,
        baseline=next(filter(None, frame["baseline"]), ""),
        other_baselines=against.others(frame, baselines),
        several_lengths=bool(frame["seq_len"].nunique() > 1),
        compared_at=n,
        growth=growth,
        fastest=lengths.fastest(rivals, paired_log_ns, n),
        leading=lengths.leading(rivals, paired_log_ns),
        implementations=implementations.best(rivals, paired_log_ns),
        standing=lengths.standing(rivals, n),
        errors=lengths.errors(rivals, n),
        floors=lengths.floors(frame, paired_log_ns, baseline_rows, n),
        kept=lengths.kept(frame),
        sweeps=found,
        density=common_density(found) if found else None,
    )
