"""One variant explained: its description, its picture, and whether its implementations are right."""
