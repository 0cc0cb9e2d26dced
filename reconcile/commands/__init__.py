"""The work of one command each, behind the command line and the Python API."""
