"""Speed and memory, side by side with VLMEvalKit's own loop."""
