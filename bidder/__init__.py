"""The engine's processes and its command line."""
