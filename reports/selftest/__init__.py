"""The self-test: its figures judged, drawn and written as a page."""

# Some modules here import matplotlib, whose folder must be set before.
from attnbench.reports import drawing as drawing
