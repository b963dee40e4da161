"""How much memory a call will take: predictions, and what matrix products need beside their operands."""
