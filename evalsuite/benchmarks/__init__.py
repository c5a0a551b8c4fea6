"""Benchmarks: their definitions and their data."""
