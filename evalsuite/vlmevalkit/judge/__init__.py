"""A judge: a language model behind an OpenAI-compatible endpoint that reads what rules cannot.

Answers are cached on disk by content, so each question is asked and paid for once. A judge that
fails is an error; there is no silent fallback to rules.
"""

from evalsuite.vlmevalkit.judge.cached import Judge
from evalsuite.vlmevalkit.judge.client import JudgeError, check
from evalsuite.vlmevalkit.judge.settings import KEY_VARIABLES, read_settings

__all__ = ["KEY_VARIABLES", "Judge", "JudgeError", "check", "read_settings"]
