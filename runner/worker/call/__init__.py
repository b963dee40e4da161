"""The measured call: its inputs, clocks, compilation, and sampling."""
