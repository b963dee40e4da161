"""The statistical decision between two arms: whether a case is slower, faster, unchanged, or open."""
