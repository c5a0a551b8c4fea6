"""A judge: a language model that reads what rules cannot, behind an OpenAI-compatible endpoint.

Answers are kept on disk by content: the same question is asked, and paid for, once. A judge that
cannot be had is an error; rules never stand in for it in silence.
"""

from evalsuite.vlmevalkit.judge.cached import Judge
from evalsuite.vlmevalkit.judge.check import check
from evalsuite.vlmevalkit.judge.client import JudgeError
from evalsuite.vlmevalkit.judge.settings import KEY_VARIABLES, read_settings

__all__ = ["KEY_VARIABLES", "Judge", "JudgeError", "check", "read_settings"]
