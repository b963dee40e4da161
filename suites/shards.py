"""Shards: a suite in parts that different jobs or machines measure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from attnbench.suites.case import Case
from attnbench.suites.problem import found
from attnbench.suites.selection import SelectionError


@dataclass(frozen=True)
class Shard:
    """One of `count` shards; `index` counts from 1."""

    index: int
    count: int

    @classmethod
    def read(cls, text: str) -> Self:
        """Return the shard written as `2/5`.

        Raises:
            SelectionError: it is none.
        """
        numbers = re.fullmatch(r"([1-9][0-9]{0,4})/([1-9][0-9]{0,4})", text)
        index, count = map(int, numbers.groups()) if numbers else (1, 0)
        if index > count:
            raise SelectionError(f"--shard: expected i/n with i from 1 to n, such as 2/5, {found(text)}")
        return cls(index, count)

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def of(self, cases: Sequence[Case]) -> list[Case]:
        """Return the cases of this shard, in their order. All shards together have each case once.

        A sweep, which is the cases whose settings differ in their length alone, is never divided: growth and crossovers
        are fitted within a process. The shards get about the same sum of lengths: one sweep after the other, those with
        the largest sums first, goes to the shard with the smallest sum.

        Raises:
            SelectionError: there are fewer sweeps than shards.
        """
        sweeps: dict[object, list[Case]] = {}
        for case in cases:
            sweeps.setdefault(case.sweep, []).append(case)
        if self.count > len(sweeps):
            raise SelectionError(
                f"shard {self}: expected at most {len(sweeps)}, because these cases have so many sweeps over "
                f"lengths, found {self.count}"
            )
        sums = [0] * self.count
        chosen = set[str]()
        for sweep in sorted(sweeps.values(), key=_sum, reverse=True):
            least = sums.index(min(sums))
            sums[least] += _sum(sweep)
            if least == self.index - 1:
                chosen |= {case.key for case in sweep}
        return [case for case in cases if case.key in chosen]


def _sum(cases: Sequence[Case]) -> int:
    """Return the sum of the lengths of cases."""
    return sum(case.setting.shape.seq_len for case in cases)
