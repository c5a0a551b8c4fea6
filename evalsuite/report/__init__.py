"""Runs as tables: one model of what is shown, rendered to the terminal, markdown and JSON."""
