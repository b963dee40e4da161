"""What the rule of an A/B comparison promises, from simulated runs with a known truth: two tables of docs/trust.md.

python tests/benchmarks/promises.py
"""

import numpy as np

from attnbench.reports.decision.decide import Rule, Verdict, decide, flagged
from attnbench.reports.decision.pairs import largest_shown

RUNS = 1000
CASES = 30
SAME = 4
"""Cases that are measured against themselves too, of so many."""
RULE = Rule()
CALLED = {Verdict.REGRESSED, Verdict.IMPROVED}


def main() -> None:
    """A line for each spread of a pair: false calls, equal cases that are unchanged, and slow-downs that are found."""
    print("| spread of a pair | runs with a false call | equals unchanged | +5 % found | unchanged | +10 % found |")
    for spread in (0.01, 0.017, 0.03, 0.05):
        rng = np.random.default_rng(0)
        equal = [_verdicts(rng, spread, np.zeros(CASES)) for _ in range(RUNS)]
        alarms = sum(any(each in CALLED for each in run) for run in equal)
        alike = sum(run.count(Verdict.UNCHANGED) for run in equal)
        slow = []
        for slowdown in (0.05, 0.10):
            truth = np.zeros(CASES)
            truth[0] = np.log1p(slowdown)
            slow.append([_verdicts(rng, spread, truth)[0] for _ in range(RUNS)])
        counts = alarms, alike / CASES, slow[0].count(Verdict.REGRESSED), slow[0].count(Verdict.UNCHANGED)
        told = [f"{each / RUNS:.1%}" for each in (*counts, slow[1].count(Verdict.REGRESSED))]
        print(f"| {spread:.1%} | {' | '.join(told)} |")
    print("| spread of a pair | no change is called, arms alike | one case favours an arm by 4 % | by 6 % |")
    for spread in (0.01, 0.017, 0.03, 0.05):
        rng = np.random.default_rng(0)
        shares = [sum(_loud(rng, spread, np.log1p(bias)) for _ in range(RUNS)) / RUNS for bias in (0.0, 0.04, 0.06)]
        print(f"| {spread:.1%} | {' | '.join(f'{share:.1%}' for share in shares)} |")


def _loud(rng: np.random.Generator, spread: float, bias: float) -> bool:
    """Whether the same code, measured against itself on some cases, forbids a run to call a change."""
    pairs = spread * rng.standard_normal((SAME, RULE.screen_pairs))
    pairs[0] += bias
    return largest_shown(dict(zip(map(str, range(SAME)), pairs, strict=True))) > RULE.floor


def _verdicts(rng: np.random.Generator, spread: float, truth: np.ndarray) -> list[Verdict]:
    """The verdict of one run on each case, whose true log ratios are `truth [CASES]`."""
    first, second = (truth[:, None] + spread * rng.standard_normal((CASES, many)) for many in (5, 12))
    screen = {str(case): pairs for case, pairs in enumerate(first)}
    confirm = {case: second[int(case)] for case in flagged(screen, RULE)}
    return [each.verdict for each in decide(screen, confirm, RULE).values()]


if __name__ == "__main__":
    main()
