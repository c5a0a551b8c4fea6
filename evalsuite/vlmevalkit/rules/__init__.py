"""Scoring rules: VLMEvalKit's own functions, applied sample by sample."""
