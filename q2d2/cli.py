"""The command line: parses, then runs the verb.

What goes wrong is one line on standard error. Exit status: 0; 1 where something failed; 2 for a command that makes no
sense; 130 when it was interrupted.
"""

import io
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from importlib.metadata import PackageNotFoundError, version
from itertools import dropwhile, takewhile

import tyro

from q2d2 import corpus_verbs, export_verbs, listen_verbs, measuring_verbs, tokens_verbs, verbs
from q2d2.console import UsageError, one_line, say

USAGE = """usage: q2d2 VERB ...

A neural speech codec: files of 1, 2.8 and 5.4 kbit/s from one small model.

  encode IN OUT    audio to .q2d2          q2d2 encode talk.mp3 talk.q2d2 --rate 3k
  decode IN OUT    .q2d2 to audio          q2d2 decode talk.q2d2 talk.wav
  info [IN]        a .q2d2 file or a model q2d2 info talk.q2d2
  demo [CLIP]      all rates, a picture    q2d2 demo --out demo
  tokenize IN OUT  a corpus to tables      q2d2 tokenize LibriTTS tokens --rate 1k
  detokenize       such tables to audio    q2d2 detokenize tokens audio
  export onnx OUT  for other languages     q2d2 export onnx speech-onnx
  train            a model from speech     q2d2 train --data corpus --minutes 60 --out run
  fit-prior MODEL  so that files shrink    q2d2 fit-prior run/model --data corpus
  corpus           speech to train on      q2d2 corpus pack VCTK-Corpus-0.92 corpus
  evaluate         quality beside others   q2d2 evaluate --data dev --out scores
  probe            what the tokens know    q2d2 probe --set audiomnist --data AudioMNIST --out probe
  benchmark        speed and memory        q2d2 benchmark --out speed
  ablate           one thing at a time     q2d2 ablate --tables 8 --data corpus --minutes 60 --out ablation
  figures          pictures of all that    q2d2 figures --scores scores --out figures
  listen           demo page, MUSHRA test  q2d2 listen demo

Folders work in place of files, - is standard input or output.
q2d2 VERB --help says more about a verb; q2d2 --version names the version.
"""


VERBS: dict[str, Callable[[], type[verbs.Verb]]] = {
    "encode": lambda: verbs.Encode,
    "decode": lambda: verbs.Decode,
    "info": lambda: verbs.Info,
    "demo": lambda: verbs.Demo,
    "tokenize": tokens_verbs.tokenize,
    "detokenize": lambda: tokens_verbs.Detokenize,
    "export": lambda: export_verbs.Export,
    "train": verbs.train,
    "fit-prior": verbs.fit_prior,
    "corpus": lambda: corpus_verbs.Corpus,
    "evaluate": measuring_verbs.evaluate,
    "probe": measuring_verbs.probe,
    "benchmark": measuring_verbs.benchmark,
    "ablate": measuring_verbs.ablate,
    "figures": measuring_verbs.figures,
    "listen": lambda: listen_verbs.Listen,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that these arguments are; returns the exit status."""
    try:
        return _main(list(sys.argv[1:] if arguments is None else arguments))
    except SystemExit as stop:  # tyro has shown its help
        return int(stop.code or 0)
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        if _is_broken_pipe(error):
            # whoever read our output has gone, and what is left in the buffer has nowhere to go
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        say(one_line(error))
        return 2 if isinstance(error, UsageError) else 1


def _main(arguments: list[str]) -> int:
    match arguments:
        case ["-h" | "--help", *_]:
            print(USAGE, end="")
            return 0
        case ["--version"]:
            print(f"q2d2 {_version()}")
            return 0
        case [name, *rest] if name in VERBS:
            status = _parse(name, rest).run()
            sys.stdout.flush()
            return status
        case _:
            what = f"there is no verb {arguments[0]!r}" if arguments else "give a verb"
            raise UsageError(f"{what}: one of {', '.join(VERBS)}; q2d2 --help shows them")


def _parse(name: str, arguments: list[str]) -> verbs.Verb:
    """What tyro makes of the arguments; the box that it draws around what is wrong becomes one line."""
    box = io.StringIO()
    try:
        with redirect_stderr(box):
            return tyro.cli(VERBS[name](), prog=f"q2d2 {name}", args=arguments, config=(tyro.conf.FlagCreatePairsOff,))
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        # a title, perhaps a rule, what is wrong, a rule, and where help is
        lines = [line.strip("│ ") for line in box.getvalue().splitlines()[1:]]
        below = dropwhile(_is_rule, lines)
        words = " ".join(" ".join(takewhile(lambda line: not _is_rule(line), below)).split()).rstrip(".")
        raise UsageError(f"{words}; see q2d2 {name} --help") from None


def _is_rule(line: str) -> bool:
    return not line.strip("─-╰╯")


def _is_broken_pipe(error: BaseException | None) -> bool:
    """Whether a reader that went away is at the bottom of this."""
    while error is not None:
        if isinstance(error, BrokenPipeError):
            return True
        error = error.__cause__
    return False


def _version() -> str:
    try:
        return version("q2d2")
    except PackageNotFoundError:
        return "that is not installed"
