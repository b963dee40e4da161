"""What a run says beyond its single cases, and the run as one value, `Run`, that everything else renders."""
