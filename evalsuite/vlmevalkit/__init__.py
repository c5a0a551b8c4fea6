"""All that touches VLMEvalKit; empty, so that naming a module here loads no other."""
