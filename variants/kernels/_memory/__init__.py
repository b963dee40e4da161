"""Memory of a call: predictions, and what matrix products need beside their operands."""
