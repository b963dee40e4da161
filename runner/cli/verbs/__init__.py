"""The verbs of the command line: one file each, whose name is the verb and whose `verb` is its command."""
