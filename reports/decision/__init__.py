"""The statistical decision between two arms: slower, faster, unchanged, or inconclusive."""
