"""The command line: each verb of ``xsam-bench`` is a module."""
