"""The verbs that measure: evaluate, probe, benchmark, ablate and figures. Their options are the fields of a config.

A config is imported only when its verb is asked for, so that the other verbs start at once. No
`from __future__ import annotations` here: tyro reads the types.
"""

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import OmitArgPrefixes

from q2d2.console import say
from q2d2.verbs import Verb


def evaluate() -> type[Verb]:
    """The verb `evaluate`."""
    from q2d2.evaluate import EvaluateConfig

    @dataclass(frozen=True)
    class Evaluate(Verb):
        """Score a model on a folder of speech, beside Opus, Codec2 or any other codec: rows, and tables of means.

        Exits with 1 where the model's output is not aligned with its input. Example:

        q2d2 evaluate --data dev --out scores
        """

        config: Annotated[EvaluateConfig, OmitArgPrefixes]

        def run(self) -> int:
            from q2d2.evaluate import evaluate as run_evaluation

            evaluation = run_evaluation(self.config)
            print(evaluation.report)
            return int(bool(evaluation.errors))

    return Evaluate


def probe() -> type[Verb]:
    """The verb `probe`."""
    from q2d2.probe import ProbeConfig

    @dataclass(frozen=True)
    class Probe(Verb):
        """Ask what the tokens know: a linear probe on mean-pooled embeddings of labelled clips (ARCH). Example:

        q2d2 probe --set audiomnist --data AudioMNIST --out probe
        """

        config: Annotated[ProbeConfig, OmitArgPrefixes]

        def run(self) -> int:
            from q2d2.probe import probe as run_probe

            found = run_probe(self.config)
            print(found.report)
            for note in found.notes:
                say(note)
            return 0

    return Probe


def benchmark() -> type[Verb]:
    """The verb `benchmark`."""
    from q2d2.benchmark import BenchmarkConfig

    @dataclass(frozen=True)
    class Benchmark(Verb):
        """Measure how fast presets encode and decode, their memory and their arithmetic, beside other codecs. Example:

        q2d2 benchmark --presets speech paper-1k --peers encodec --out speed
        """

        config: Annotated[BenchmarkConfig, OmitArgPrefixes]

        def run(self) -> int:
            from q2d2.benchmark import benchmark as run_benchmark

            found = run_benchmark(self.config)
            print(found.report)
            for line in [*found.errors, *found.notes]:
                say(line)
            return int(bool(found.errors))

    return Benchmark


def ablate() -> type[Verb]:
    """The verb `ablate`."""
    from q2d2.ablation import AblateConfig

    @dataclass(frozen=True)
    class Ablate(Verb):
        """Train and score presets that differ in one thing, each with the same budget, at several seeds.

        The same command again goes on where it was interrupted. Example:

        q2d2 ablate --tables base --seeds 0 1 --steps 2000 --data corpus --validate dev --out ablation
        """

        config: Annotated[AblateConfig, OmitArgPrefixes]

        def run(self) -> int:
            from q2d2.ablation import ablate as run_ablation

            found = run_ablation(self.config)
            print(found.report)
            for error in found.errors:
                say(error)
            return int(bool(found.errors))

    return Ablate


def figures() -> type[Verb]:
    """The verb `figures`."""
    from q2d2.figures import FiguresConfig

    @dataclass(frozen=True)
    class Figures(Verb):
        """Draw the grids, and what an evaluation, a benchmark and a model's tokens say, as pictures. Example:

        q2d2 figures --data dev --scores scores --speed speed --out figures
        """

        config: Annotated[FiguresConfig, OmitArgPrefixes]

        def run(self) -> int:
            from q2d2.figures import make_figures

            made = make_figures(self.config)
            for path in made.paths:
                print(path)
            for note in made.notes:
                say(note)
            return 0

    return Figures
