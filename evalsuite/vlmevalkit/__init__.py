"""Interface to VLMEvalKit: prompts, datasets and scores, from a child process."""
