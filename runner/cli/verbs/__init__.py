"""The verbs of the command line. The file name is the verb; its command is called `verb`.

This folder is a list, as `variants` is, so it may hold more modules than others.
"""
