"""How one prediction is scored, a family of benchmarks each; VLMEvalKit's own functions inside."""
