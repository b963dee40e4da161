"""The verbs of the command line. The file name is the verb; its command is called `verb`."""
