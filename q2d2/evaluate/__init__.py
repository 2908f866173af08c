"""How good a codec is, beside what a user would pick instead: metrics per utterance, bitrates of real files.

`evaluate(EvaluateConfig(data=..., out=...))` codes every clip of a folder with a model and its peers, and writes one
row per utterance and system, then tables of means.
"""

from q2d2.evaluate.run import EvaluateConfig, Evaluation, evaluate

__all__ = ["EvaluateConfig", "Evaluation", "evaluate"]
