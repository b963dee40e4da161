"""The state of the worker process: settings, leftovers of a kernel, failures, and the death of the parent."""
