"""Attention over the keys of a pattern, written in C++ for CPUs."""

from attnbench.variants.kernels.native.kernel import build, predict_bytes, supports

__all__ = ["build", "predict_bytes", "supports"]
