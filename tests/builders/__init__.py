"""Builders of test data: runs, tables, checkpoints, pages."""
