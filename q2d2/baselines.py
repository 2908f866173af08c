"""What Q2D2 is compared with, behind its interface: FSQ, VQ, RVQ and the identity.

`vector-quantize-pytorch` brings FSQ's arithmetic and, for the learned codebooks, the k-means start, the
moving averages and the replacement of dead codes; it is the optional extra `train` and is imported when a
quantizer is built, so that the configs below load without it. Written here is what the interface asks for on
top: an index per pair, prefixes, padding that touches neither outputs nor statistics, and evaluation that
touches no statistics either (the package runs k-means on the first batch it sees, in whatever mode).
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from q2d2.quantizer import Quantized, Quantizer, prefix_mask


def _package() -> ModuleType:
    try:
        import vector_quantize_pytorch
    except ModuleNotFoundError as error:
        raise ImportError(
            "FSQ, VQ and RVQ need the package vector-quantize-pytorch: pip install 'q2d2[train]'"
        ) from error
    return vector_quantize_pytorch


@dataclass(frozen=True)
class FSQConfig:
    """An `FSQ` as data: one number of levels per scalar channel."""

    dim: int
    levels: tuple[int, ...]
    kind: Literal["fsq"] = "fsq"

    def __post_init__(self) -> None:
        # with 2 the package's shifted tanh has no slope left; its bound, wider than the last level by a
        # factor of 1 + 1e-3, rounds past it from about 1001 levels on
        if not self.levels or not all(3 <= level <= 1000 for level in self.levels):
            raise ValueError(f"FSQ needs levels of 3 to 1000, one per channel, got {self.levels}")


@dataclass(frozen=True)
class VQConfig:
    """A `VQ` as data. The defaults are WavTokenizer's, except that dead codes are really replaced."""

    dim: int
    codebook_size: int = 4096
    decay: float = 0.99  # of the moving averages, per training batch
    kmeans_iterations: int = 200
    dead_below: float = 0.1  # replace codes used less than this share of the mean; 0 never does
    kind: Literal["vq"] = "vq"

    def __post_init__(self) -> None:
        _check_codebook(self)


@dataclass(frozen=True)
class RVQConfig:
    """An `RVQ` as data: `stages` codebooks, each quantizing what the ones before it left over."""

    dim: int
    stages: int = 8
    codebook_size: int = 1024
    decay: float = 0.99
    kmeans_iterations: int = 50
    dead_below: float = 0.1
    kind: Literal["rvq"] = "rvq"

    def __post_init__(self) -> None:
        _check_codebook(self)
        if self.stages < 1:
            raise ValueError(f"RVQ needs at least one stage, got {self.stages}")


@dataclass(frozen=True)
class IdentityConfig:
    """An `Identity` as data."""

    dim: int
    kind: Literal["identity"] = "identity"


def _check_codebook(config: VQConfig | RVQConfig) -> None:
    if config.dim < 1 or config.codebook_size < 1 or config.kmeans_iterations < 1:
        raise ValueError(f"dim, codebook_size and kmeans_iterations must be at least 1, got {config}")
    if not 0 < config.decay < 1 or not 0 <= config.dead_below < 1:
        raise ValueError(f"decay lies between 0 and 1 and dead_below in [0, 1), got {config}")


class FSQ(Quantizer):
    """latent [batch frames dim] -> features [batch frames dim], indices int64 [batch frames channels].

    A "pair" is here one scalar channel: prefixes and exact packing need an index per channel, not FSQ's fused
    one, which the package computes in int32 and lets overflow. Projections exist only when `dim` differs from
    the number of channels.
    """

    def __init__(self, config: FSQConfig) -> None:
        super().__init__(config.dim, config.levels)
        self.config = config
        # without `return_indices` the package does not write down the product codebook
        self.fsq = _package().FSQ(config.levels, dim=config.dim, return_indices=False)

    def forward(
        self,
        latent: Float[Tensor, "batch frames dim"],
        mask: Bool[Tensor, "batch frames"] | None = None,
        num_pairs: int | Int64[Tensor, " batch"] | None = None,
    ) -> Quantized:
        own_dtype = next(self.parameters(), latent).dtype
        with torch.autocast(latent.device.type, enabled=False):
            codes = self.fsq.quantize(self.fsq.project_in(latent.to(own_dtype)).float())
            half = self._half_levels(codes.device)
            indices = (codes.detach() * half + half).round().long()
            if num_pairs is not None:
                codes = codes * prefix_mask(num_pairs, self.num_pairs, codes.device)
            features = self.fsq.project_out(codes.to(own_dtype)).to(latent.dtype)
        if mask is not None:
            features = features.masked_fill(~mask.unsqueeze(-1), 0)
            indices = indices.masked_fill(~mask.unsqueeze(-1), 0)
        return Quantized(features, indices)

    def indices_to_features(self, indices: Int64[Tensor, "batch frames prefix"]) -> Float[Tensor, "batch frames dim"]:
        half = self._half_levels(indices.device)[: indices.shape[-1]]
        codes = nn.functional.pad((indices - half) / half, (0, self.num_pairs - indices.shape[-1]))
        return self.fsq.project_out(codes.to(next(self.parameters(), codes).dtype))

    def _half_levels(self, device: torch.device) -> Float[Tensor, " channels"]:
        """The index of code 0, and what codes are divided by, so that they lie in [-1, 1]."""
        return torch.tensor([level // 2 for level in self.points], dtype=torch.float32, device=device)


class _Codebooks(Quantizer):
    """Learned codebooks, each fed what the ones before it left over: what VQ and RVQ share.

    In training the codebooks follow the data: k-means on the first batch, then moving averages of the vectors
    that chose a code. All stages learn from all valid frames, whatever prefix the features keep. Before that
    first batch they hold random vectors, so that an untrained model runs.

    A code whose moving count falls below the share `dead_below` of the mean count gets a random vector of the
    batch, with the mean count as its new one: it has some 230 batches (decay 0.99) to find followers. In
    WavTokenizer the averages overwrite the new vector within the same step, so dead codes stay dead, and its
    threshold, a count of 2, calls most codes dead once a batch holds fewer than two frames per code.

    Across processes, counts and sums are reduced if the process group exists when the quantizer is built.
    """

    def __init__(self, config: VQConfig | RVQConfig, stages: int) -> None:
        super().__init__(config.dim, [config.codebook_size] * stages)
        vector_quantize = _package().VectorQuantize
        self.config = config
        self.stages = nn.ModuleList(
            vector_quantize(
                dim=config.dim,
                codebook_size=config.codebook_size,
                decay=config.decay,
                kmeans_init=True,
                kmeans_iters=config.kmeans_iterations,
                threshold_ema_dead_code=config.dead_below,
                commitment_weight=0.0,
                rotation_trick=False,
            )
            for _ in range(stages)
        )
        for stage in self.stages:
            nn.init.kaiming_uniform_(stage.get_buffer("_codebook.embed"))

    def forward(
        self,
        latent: Float[Tensor, "batch frames dim"],
        mask: Bool[Tensor, "batch frames"] | None = None,
        num_pairs: int | Int64[Tensor, " batch"] | None = None,
    ) -> Quantized:
        valid = torch.ones_like(latent[..., 0], dtype=torch.bool) if mask is None else mask
        kept = prefix_mask(self.num_pairs if num_pairs is None else num_pairs, self.num_pairs, latent.device)
        kept = kept.expand(*latent.shape[:2], -1) & valid.unsqueeze(-1)
        indices = torch.zeros_like(kept, dtype=torch.int64)
        features = torch.zeros_like(latent)
        with torch.no_grad(), torch.autocast(latent.device.type, enabled=False):
            # padding is left out altogether: it can reach neither k-means nor averages nor replacements
            indices[valid], vectors = self._quantize(latent[valid].detach().float(), kept[valid])
            features[valid] = vectors.to(latent.dtype)
        # straight-through: a zero that carries the gradient leaves the values exactly the codebook's
        carrier = (latent - latent.detach()).masked_fill(~kept.any(-1, keepdim=True), 0)
        return Quantized(features + carrier, indices)

    def _quantize(
        self, residual: Float[Tensor, "vectors dim"], kept: Bool[Tensor, "vectors stages"]
    ) -> tuple[Int64[Tensor, "vectors stages"], Float[Tensor, "vectors dim"]]:
        """Indices of all stages, and the sum of the codes of those that are kept."""
        total = torch.zeros_like(residual)
        indices = []
        for stage, keep in zip(self.stages, kept.unbind(-1), strict=True):
            codes, index = (
                self._learn(stage, residual) if self.training and len(residual) else _look_up(stage, residual)
            )
            residual = residual - codes
            total = total + codes * keep.unsqueeze(-1)
            indices.append(index)
        return torch.stack(indices, -1), total

    def _learn(self, stage: nn.Module, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """One training step of a stage; the codes it returns are those from before its averages move."""
        codebook: Any = stage.get_submodule("_codebook")
        codebook.init_embed_(vectors.unsqueeze(0))  # k-means, once
        mean_count = codebook.cluster_size.mean()
        codebook.threshold_ema_dead_code = self.config.dead_below * mean_count
        codebook.reset_cluster_size = mean_count
        codes, index, _ = stage(vectors.unsqueeze(0))
        return codes.squeeze(0), index.squeeze(0)

    def indices_to_features(self, indices: Int64[Tensor, "batch frames prefix"]) -> Float[Tensor, "batch frames dim"]:
        total = torch.zeros(*indices.shape[:2], self.dim, dtype=torch.float32, device=indices.device)
        for stage, index in zip(self.stages[: indices.shape[-1]], indices.unbind(-1), strict=True):
            total = total + _codes(stage)[index]
        return total


def _codes(stage: nn.Module) -> Float[Tensor, "codes dim"]:
    """The codebook of a stage, in float32 whatever the module was cast to."""
    return stage.get_buffer("_codebook.embed").squeeze(0).float()


def _look_up(stage: nn.Module, vectors: Float[Tensor, "vectors dim"]) -> tuple[Tensor, Tensor]:
    """Nearest codes and their indices; the package is not asked, because it would start k-means."""
    codes = _codes(stage)
    squares = codes.square().sum(-1)
    # |x - c|^2 less the |x|^2 that all codes share; in pieces, to bound the memory of long files
    distances = (torch.addmm(squares, part, codes.T, alpha=-2) for part in vectors.split(4096))
    index = torch.cat([d.argmin(-1) for d in distances])
    return codes[index], index


class VQ(_Codebooks):
    """latent [batch frames dim] -> features [batch frames dim], indices int64 [batch frames 1].

    One learned codebook: WavTokenizer's quantizer, for the `wavtokenizer-*` presets. No projections,
    Euclidean distance. Commitment to the codebook is a loss the trainer adds.
    """

    def __init__(self, config: VQConfig) -> None:
        super().__init__(config, stages=1)


class RVQ(_Codebooks):
    """latent [batch frames dim] -> features [batch frames dim], indices int64 [batch frames stages].

    Residual codebooks. The stages are the pairs: the first k of them are a code at a lower rate.
    """

    def __init__(self, config: RVQConfig) -> None:
        super().__init__(config, stages=config.stages)


class Identity(Quantizer):
    """latent [batch frames dim] -> the same features, indices int64 [batch frames 0].

    No quantization, hence no code: the upper bound of an autoencoder, as an ordinary instance. `num_pairs`
    has nothing to choose from and is ignored.
    """

    def __init__(self, config: IdentityConfig) -> None:
        super().__init__(config.dim, ())
        self.config = config

    def forward(
        self,
        latent: Float[Tensor, "batch frames dim"],
        mask: Bool[Tensor, "batch frames"] | None = None,
        num_pairs: int | Int64[Tensor, " batch"] | None = None,
    ) -> Quantized:
        features = latent if mask is None else latent.masked_fill(~mask.unsqueeze(-1), 0)
        return Quantized(features, torch.zeros(*latent.shape[:2], 0, dtype=torch.int64, device=latent.device))

    def indices_to_features(self, indices: Int64[Tensor, "batch frames prefix"]) -> Float[Tensor, "batch frames dim"]:
        raise ValueError("the identity keeps no indices: its features cannot be rebuilt, only passed on")
