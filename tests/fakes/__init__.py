"""Servers, workers and clusters that replace real ones."""
