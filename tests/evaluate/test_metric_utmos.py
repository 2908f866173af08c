"""UTMOS with files of the two published layouts, made here with random weights, against the package's own scorer."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from q2d2.evaluate.metrics import utmos
from q2d2.evaluate.metrics.base import Original, heard_at

Weights = dict[str, torch.Tensor]


def layout() -> dict[str, tuple[int, ...]]:
    """Names and shapes in utmos22_strong_step7459_v1.pt."""
    shapes: dict[str, tuple[int, ...]] = {"domain_emb": (1, 128), "judge_emb": (1, 128), "wav2vec2.mask_emb": (768,)}

    def affine(name: str, *weight: int) -> None:
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = weight, weight[:1]

    for number, taps in enumerate((10, 3, 3, 3, 3, 2, 2)):
        shapes[f"wav2vec2.feature_extractor.conv_layers.{number}.0.weight"] = (512, 512 if number else 1, taps)
    affine("wav2vec2.feature_extractor.conv_layers.0.2", 512)
    affine("wav2vec2.layer_norm", 512)
    affine("wav2vec2.post_extract_proj", 768, 512)
    shapes["wav2vec2.encoder.pos_conv.0.bias"] = (768,)
    shapes["wav2vec2.encoder.pos_conv.0.weight_g"] = (1, 1, 128)
    shapes["wav2vec2.encoder.pos_conv.0.weight_v"] = (768, 48, 128)
    affine("wav2vec2.encoder.layer_norm", 768)
    for layer in (f"wav2vec2.encoder.layers.{number}" for number in range(12)):
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            affine(f"{layer}.self_attn.{part}", 768, 768)
        for part in ("self_attn_layer_norm", "final_layer_norm"):
            affine(f"{layer}.{part}", 768)
        affine(f"{layer}.fc1", 3072, 768)
        affine(f"{layer}.fc2", 768, 3072)
    for direction in ("l0", "l0_reverse"):
        for part, width in (("ih", 1024), ("hh", 512)):
            shapes[f"blstm.weight_{part}_{direction}"] = (2048, width)
            shapes[f"blstm.bias_{part}_{direction}"] = (2048,)
    affine("projection.0", 2048, 1024)
    affine("projection.2", 1, 2048)
    return shapes


def drawn(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """Random weights that a file of 400 MB does not need: every row is the one before, moved by one."""
    total = sum(size - 1 for size in shape) + 1
    values = torch.randn(total, generator=torch.Generator().manual_seed(seed)) / shape[-1] ** 0.5
    return (values + (len(shape) == 1)).as_strided(shape, (1,) * len(shape))  # the factors of norms are around 1


@pytest.fixture(scope="module")
def published() -> Weights:
    return {name: drawn(shape, seed) for seed, (name, shape) in enumerate(layout().items())}


@pytest.fixture(autouse=True)
def nothing_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.delenv(utmos.VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    utmos._network.cache_clear()
    yield
    utmos._network.cache_clear()


def test_both_published_files_give_what_the_packages_scorer_gives(
    published: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, speech_like
) -> None:
    package = pytest.importorskip("utmos_pytorch")
    speech = speech_like(1.0)
    torch.save(published, tmp_path / "first.pt")
    monkeypatch.setenv(utmos.VARIABLE, str(tmp_path / "first.pt"))
    first = utmos.METRIC.measure(Original(speech), speech)["utmos"]

    other = tmp_path / "cache" / "q2d2" / utmos.FILES[1]
    other.parent.mkdir(parents=True)
    judges = torch.randn(3000, 128)
    judges[288] = published["judge_emb"][0]
    more = {"output_layers.0.judge_embedding.weight": judges, "phoneme_encoder.weight": torch.zeros(1)}
    torch.save(utmos._renamed(published) | more, other)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        scorer = package.UTMOSScoreTorch(str(other))
    expected = scorer.score(torch.from_numpy(heard_at(speech, 16_000))).item()
    assert first == pytest.approx(expected, abs=1e-4)
    monkeypatch.delenv(utmos.VARIABLE)
    assert utmos.METRIC.missing() is None
    assert utmos.utmos(speech) == pytest.approx(expected, abs=1e-4)
    assert utmos.utmos(speech[::-1].copy()) != pytest.approx(expected, abs=1e-3)  # it does listen


def test_what_is_missing_is_the_file_and_where_to_put_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = utmos.METRIC.missing() or ""
    assert all(part in text for part in (*utmos.FILES, str(tmp_path / "cache" / "q2d2"), "Q2D2_UTMOS"))
    monkeypatch.setenv(utmos.VARIABLE, str(tmp_path / "gone.pt"))
    assert utmos.METRIC.missing() == f"no weights: Q2D2_UTMOS names {tmp_path / 'gone.pt'}, which is not there"


@pytest.mark.parametrize("kind", ["text", "another's", "short"])
def test_another_file_is_refused_by_name(
    kind: str, published: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, speech_like
) -> None:
    pytest.importorskip("utmos_pytorch")
    path = tmp_path / "weights.pt"
    if kind == "text":
        path.write_text("<html>Not found</html>")
    else:
        torch.save({"mos": torch.zeros(1)} if kind == "another's" else dict(list(published.items())[:-1]), path)
    monkeypatch.setenv(utmos.VARIABLE, str(path))
    with pytest.raises(ValueError, match=rf"weights\.pt: .* give {utmos.FILES[0]}"):
        utmos.utmos(speech_like(0.6))
