"""Lengths at which patterns are drawn, and checked where no odd length will do."""

POWERS = tuple(2**power for power in range(6, 12))
"""From 64 to 2048: what exists in whole blocks alone mostly exists at some of these."""
