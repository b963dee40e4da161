"""The self-test: its figures are judged, drawn and written as a page."""

# Import this first: it sets matplotlib's folder, and some modules here import matplotlib.
from attnbench.reports import drawing as drawing
