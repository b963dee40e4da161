"""The machine that measures: its environment, its memory, its GPU, what it refuses, and what makes numbers worse."""
