"""Reading a run folder into one value, `Run`, that everything else renders; and stored baselines."""
