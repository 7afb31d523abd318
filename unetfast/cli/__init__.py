"""The command line: the group in main.py, one file a command."""
