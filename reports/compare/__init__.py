"""Comparisons: two runs, two revisions, or the cases of one run; verdicts, gate, page and formats."""
