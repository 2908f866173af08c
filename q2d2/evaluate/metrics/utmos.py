"""UTMOS22, strong learner (Saeki et al. 2022): how listeners would rate the decoded signal by itself, about 1 to 5.

The network is that of the package `utmos-pytorch`: wav2vec 2.0 base, a domain (0) and a judge (288), as in the
published predictor and in WavTokenizer's evaluation, a bidirectional LSTM and two linear layers; the mean over frames,
times 2, plus 3. No package brings the weights. Two files on the network have them, under different names inside; either
is read from the folder q2d2 in the user's cache, or from wherever the variable Q2D2_UTMOS says. Knows nothing of the
original.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from q2d2.evaluate.metrics.base import (
    SAMPLE_RATE_HZ,
    Metric,
    MissingExtraError,
    Original,
    Score,
    Signal,
    UndefinedError,
    heard_at,
    needs,
    package,
    shown,
)

RATE_HZ = 16_000
SHORTEST_S = 0.5  # of speech, to have an opinion on
VARIABLE = "Q2D2_UTMOS"
FILES = ("utmos22_strong_step7459_v1.pt", "utmos_state_dict.pt")

_DOMAINS, _JUDGES, _EMBEDDING = 3, 3000, 128
_DOMAIN, _JUDGE = 0, 288
# What the first of the files calls the parts -> what the network calls them.
_PARTS = {
    "wav2vec2.": "feature_extractors.0.ssl_model.",
    "blstm.": "output_layers.0.decoder_rnn.",
    "projection.0.": "output_layers.1.net.0.",
    "projection.2.": "output_layers.1.net.3.",  # a dropout comes before it
}


def utmos(decoded: Signal) -> float:
    """UTMOS of a signal: about 1 to 5, not clipped."""
    if not decoded.any():
        raise UndefinedError("the decoded signal is silent")
    if len(decoded) < SHORTEST_S * SAMPLE_RATE_HZ:
        raise UndefinedError(f"less than {SHORTEST_S} s long")
    path = weights_path()
    if path is None:
        raise MissingExtraError(_missing())
    with torch.inference_mode():
        wav = torch.from_numpy(heard_at(decoded, RATE_HZ))[None]
        domain, judge = torch.tensor([_DOMAIN]), torch.tensor([_JUDGE])
        return 3 + 2 * float(_network(path)(wav, domain, judge).mean())


def weights_path() -> Path | None:
    """The file that Q2D2_UTMOS names, whether there or not, or the first that is in the cache."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named)
    return next((path for name in FILES if (path := _cache() / name).is_file()), None)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "q2d2"


@lru_cache(maxsize=1)
def _network(path: Path) -> nn.Module:
    """The network with the weights of a file; ValueError if they are another's."""
    try:
        found = _renamed(dict(torch.load(path, "cpu", weights_only=True)))
    except Exception as error:  # of many unrelated kinds
        raise ValueError(f"{path}: is no file of weights; give {_either()}") from error
    with warnings.catch_warnings(), torch.device("meta"):  # 95 M random numbers are not drawn
        warnings.simplefilter("ignore", FutureWarning)  # of torch, on the weight norm in it
        network = package("utmos_pytorch.utmos_torch").UTMOSModel().eval()
    absent = [name for name in network.state_dict() if name not in found]
    if absent:
        raise ValueError(f"{path}: holds no weights of UTMOS22, {absent[0]} is not in it; give {_either()}")
    # others are left from training
    network.load_state_dict({name: found[name] for name in network.state_dict()}, assign=True)
    return network


def _renamed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of either file by the network's names."""
    if "judge_emb" not in weights:
        return dict(weights)
    renamed = {
        part + name.removeprefix(prefix): weight
        for name, weight in weights.items()
        for prefix, part in _PARTS.items()
        if name.startswith(prefix)
    }
    # it holds the one domain and the one judge that count
    domains, judges = torch.zeros(_DOMAINS, _EMBEDDING), torch.zeros(_JUDGES, _EMBEDDING)
    domains[_DOMAIN], judges[_JUDGE] = weights["domain_emb"][0], weights["judge_emb"][0]
    return renamed | {
        "feature_extractors.1.embedding.weight": domains,
        "output_layers.0.judge_embedding.weight": judges,
    }


def _either() -> str:
    return f"{FILES[0]} (GitHub, releases of tarepan/SpeechMOS) or {FILES[1]} (Hugging Face, Blinorot/UTMOS-PyTorch)"


def _missing() -> str | None:
    path = weights_path()
    if path is None:
        return f"no weights: put {_either()} into {shown(_cache())}, or name the file in {VARIABLE}"
    if not path.is_file():
        return f"no weights: {VARIABLE} names {path}, which is not there"
    return needs("utmos_pytorch", how="pip install --no-deps utmos-pytorch==0.1.0")()


def _measure(original: Original, decoded: Signal) -> Mapping[str, float]:
    return {"utmos": utmos(decoded)}


METRIC = Metric(
    "utmos",
    (Score("utmos", "UTMOS", 2),),
    _measure,
    "UTMOS22, strong learner (Saeki et al. 2022), of the decoded signal alone, at 16 kHz.",
    _missing,
)
