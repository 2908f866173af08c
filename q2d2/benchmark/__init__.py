"""How fast codecs are, how much memory they take and how much they compute, beside others in the same run.

`benchmark(BenchmarkConfig(out=...))` measures presets, models and other projects' networks clip by clip and as streams,
and writes rows, tables and a picture.
"""

from q2d2.benchmark.config import BenchmarkConfig
from q2d2.benchmark.run import Benchmark, benchmark

__all__ = ["Benchmark", "BenchmarkConfig", "benchmark"]
