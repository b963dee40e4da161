"""Section of a report that defines the terms of its tables."""

from attnbench.reports.findings.run import Run
from attnbench.reports.text import escape

_TERMS = {
    "calls per second": """\
- **Calls per second**: one over the time of a call. A process gives the {estimate} of its values, and the time is the
  geometric mean over processes.""",
    "±": """\
- **Intervals** (95 %): Student t over processes on the log scale, from 3 processes on. Digits end where they begin.""",
    "(times ": """\
- **Speed-up** (times): the baseline's time over the case's at the same length and setting, paired by process.""",
    "peak memory": """\
- **Peak memory**: the most that the allocator held during a call, inputs apart.""",
    "energy of one call": """\
- **Energy**: what the counter of the CPU's packages, or of the GPU, adds up over calls in a row, without what the idle
  device takes. The packages hold all that runs on the machine. **-**: the counter is too coarse.""",
    "up to N": """\
- **Fits up to N**: the longest sequence for which that, inputs, weights and masks fit the memory budget, estimated.""",
    "time grows as": """\
- **Growth**: the exponent k of N^k over the longest three octaves.""",
    "stated cost there": """\
- **Stated cost**: the exponent of the FLOPs over the last two octaves. Fixed costs at short lengths make time grow more
  slowly; softmax, sorting or memory traffic make it grow faster.""",
    "faster than": """\
- **Faster**: the whole interval of the speed-up is above 1. A length **from** which it is so is interpolated, and holds
  up to the longest one measured.""",
    "fastest implementation; ": """\
- **Fastest implementation** of a variant, in bold if the next one is shown to be slower; then the time of the next one
  over its time.""",
    "keys per query at N": """\
- **Keys per query**: allowed pairs over queries, a mean. **Density**: its share of the length.""",
    ": work at N": """\
- **Waste**: pairs computed over pairs that the pattern allows. **GFLOP/s** counts allowed pairs. **Of roof**: its share
  of the fastest matrix product seen beside the case.
- **Bound**: the baseline's allowed pairs over the case's. **Realised**: the speed-up as a share of it.
- **Error**: the largest difference from a float64 reference. **Tokens/s**: those of the whole batch.""",
    "error against full attention at N": """\
- **Error vs full**: the distance of the output from that of full attention, as a share of its size, on {inputs}.
  **Of the mean**: that of the mean of all values. **Better**: less than 95 % of it. **Ties**: rows in which another key
  or block could have been chosen, within rounding.""",
    "before the first value at N": """\
- **Before the first value**, in no time of a call: preparation builds masks and layouts, which hold so many bytes;
  compilation is what the first call takes beyond a later one, *cached* if torch had it on disk.""",
    "": """\
- **Proved**: before a case is timed, every element of output and gradients is held to a float64 reference. Where there
  is too much to look at, a line at the top says so.
- **n/a**: unsupported. **skipped**: not tried. **-**: no such number. An empty cell: not in the suite.
- docs/reading-a-report.md of attnbench has all terms.""",
}
"""Words of tables, and the terms to define for a report that has them."""


def section(run: Run, markdown: str) -> str:
    """Return the terms of the tables of a run, which `markdown` holds."""
    told = "\n".join(terms for words, terms in _TERMS.items() if words in markdown)
    return told.format(estimate=run.estimate.replace("quartile", "lower quartile"), inputs=_inputs(run))


def _inputs(run: Run) -> str:
    """Return what the errors against full attention were computed on."""
    file = run.meta.get("inputs")
    return f"the inputs of {escape.text(file['file'])}" if file else "inputs in which neighbours are alike"
