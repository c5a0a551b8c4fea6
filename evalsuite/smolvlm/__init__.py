"""The model: prompts in, texts out. It knows nothing of benchmarks and results on disk."""
