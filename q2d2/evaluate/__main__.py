"""`python -m q2d2.evaluate --model M --data DIR --out DIR`: exit status 1 where a codec is not aligned."""

import sys

import tyro

from q2d2.evaluate.run import EvaluateConfig, evaluate

if __name__ == "__main__":
    evaluation = evaluate(tyro.cli(EvaluateConfig, prog="python -m q2d2.evaluate"))
    print(evaluation.report)
    sys.exit(bool(evaluation.errors))
