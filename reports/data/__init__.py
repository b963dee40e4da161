"""Reading a run folder into its table: one row per case, with all numbers of the case alone."""
