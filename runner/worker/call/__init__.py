"""The call that is measured: its inputs, its clock, its compilation, and how often it is made."""
