"""Checkpoints: found, read, identified and checked without torch or transformers."""
