"""Comparisons of two runs, two revisions, or the cases of one run: verdicts, gate, page and formats."""

# Import this first: it sets matplotlib's folder, and some modules here import matplotlib.
from attnbench.reports import drawing as drawing
