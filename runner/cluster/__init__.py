"""Runs on several machines: which of them measure, what each gets, and what comes back."""
