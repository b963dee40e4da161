"""From the folder of a run to one value that holds all that is said of it, `Run`; and stored baselines."""
