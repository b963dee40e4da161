"""Comparisons of two runs, two revisions, or the cases of one run: verdicts, gate, page and formats."""

# Some modules here import matplotlib, whose folder must be set before.
from attnbench.reports import drawing as drawing
