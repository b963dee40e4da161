"""Description of one variant, its picture, and a check of its implementations."""
