"""The figures of a run, each as SVG and PNG."""
