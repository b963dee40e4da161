"""The figures of a run, each as SVG and PNG."""

# It says where matplotlib can write, before any figure imports matplotlib.
from attnbench.reports.figures import matplotlib_folder as matplotlib_folder
