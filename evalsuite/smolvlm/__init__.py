"""Inference engine for SmolVLM checkpoints. It does not depend on benchmarks or runs."""
