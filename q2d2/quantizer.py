"""Q2D2: project -> bound -> pair -> nearest grid point (straight-through) -> unproject (paper, section 3.1).

The codebook is the product of the pairs' grids. It is never written down: an index per pair is all that exists, so
there is nothing to collapse, no auxiliary loss, and a prefix of the pairs is itself a code at a lower rate. Tanh,
scaling and snapping run in float32 whatever the autocast dtype: bfloat16 would move 0.7 % of the indices.

This module knows nothing of audio. `Quantizer` is the interface that the baselines share.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args, get_type_hints

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from q2d2.grid import FAR, TILINGS, Grid
from q2d2.refinement import AnyPair, Refinement, Snapped, run_stages, stage_table, stages_of, synthesis_matrix


class Quantized(NamedTuple):
    """What a quantizer returns; unpacks as `(features, indices)`."""

    features: Float[Tensor, "batch frames dim"]  # the decoder's input; straight-through gradient to the latent
    indices: Int64[Tensor, "batch frames pairs"]  # one point index per pair, 0 <= indices[..., p] < points[p]


class Quantizer(nn.Module, ABC):
    """latent [batch frames dim] -> features [batch frames dim] and indices [batch frames pairs].

    "Pair" names one independent symbol of a frame: a pair of channels in Q2D2, a channel in FSQ, a stage in RVQ.
    """

    def __init__(self, dim: int, points: Sequence[int]) -> None:
        super().__init__()
        self.dim = dim
        self.points = tuple(points)

    @property
    def num_pairs(self) -> int:
        return len(self.points)

    @property
    def codebook_size(self) -> int:
        """Size of the product codebook: an exact Python integer, often past 2**63."""
        return math.prod(self.points)

    @property
    def bits_per_frame(self) -> float:
        """Sum of log2(points) over the pairs: counted, never assumed."""
        return math.fsum(math.log2(n) for n in self.points)

    @abstractmethod
    def forward(
        self,
        latent: Float[Tensor, "batch frames dim"],
        mask: Bool[Tensor, "batch frames"] | None = None,
        num_pairs: int | Int64[Tensor, " batch"] | None = None,
    ) -> Quantized:
        """Quantize; `mask` False marks padding (features and indices 0 there).

        `num_pairs` keeps only the first so many pairs (of every row, or per row) in the features, not in the indices.
        """

    @abstractmethod
    def indices_to_features(self, indices: Int64[Tensor, "batch frames prefix"]) -> Float[Tensor, "batch frames dim"]:
        """Features of the first so many pairs, as `forward(..., num_pairs=prefix)` gives them."""

    def indices_to_tokens(self, indices: Int64[Tensor, "batch frames prefix"]) -> Int64[Tensor, "batch frames"]:
        """One integer per frame, mixed radix, pair 0 fastest; OverflowError where 63 bits do not hold it."""
        token = torch.zeros_like(indices[..., 0])
        for pair, radix in enumerate(self._radices(indices.shape[-1])):
            token = token + indices[..., pair] * radix
        return token

    def tokens_to_indices(
        self, tokens: Int64[Tensor, "batch frames"], num_pairs: int | None = None
    ) -> Int64[Tensor, "batch frames prefix"]:
        """Inverse of `indices_to_tokens`."""
        pairs = self.num_pairs if num_pairs is None else num_pairs
        radices = self._radices(pairs)
        return torch.stack([(tokens // radices[p]) % self.points[p] for p in range(pairs)], dim=-1)

    def _radices(self, pairs: int) -> list[int]:
        if math.prod(self.points[:pairs]) > 2**63:
            raise OverflowError(f"{pairs} pairs do not fit one 64-bit token: use the indices per pair, or fewer pairs")
        return [math.prod(self.points[:pair]) for pair in range(pairs)]


def prefix_mask(
    num_pairs: int | Int64[Tensor, " batch"], pairs: int, device: torch.device
) -> Bool[Tensor, "rows 1 pairs"]:
    """True for the pairs that count, per row (one row if `num_pairs` is one number)."""
    if isinstance(num_pairs, int) and not 0 <= num_pairs <= pairs:
        raise ValueError(f"num_pairs lies in 0..{pairs}, got {num_pairs}")
    limit = torch.as_tensor(num_pairs, device=device).reshape(-1, 1, 1)
    return torch.arange(pairs, device=device) < limit


@dataclass(frozen=True)
class Variant:
    """What Appendix D varies and where the public code differs from the paper. The defaults are the paper's text."""

    input_projection: Literal["tanh", "layernorm", "linear"] = "tanh"  # Table 11; the last two leave z unbounded
    bound: Literal["half_width", "extent"] = "half_width"  # z' = z l/2 (Eq. 1), or z (l-1)/2 (1 + 1e-3) as in the code
    straight_through: Literal["bounded", "projected"] = "bounded"  # gradient 1 at z', or at z (l/2 times smaller)
    gradient: Literal["ste", "rotation", "noise"] = "ste"  # "noise": cell-shaped noise instead of snapping, in training

    def __post_init__(self) -> None:
        for field, hint in get_type_hints(type(self)).items():
            if getattr(self, field) not in get_args(hint):
                raise ValueError(f"{field} is one of {get_args(hint)}, got {getattr(self, field)!r}")
        if self.straight_through == "projected" and self.gradient != "ste":
            raise ValueError("the straight-through point belongs to the gradient 'ste'; the others start from z'")


CACHED = 2**16  # pairs snapped at a time on a CPU: they stay in its cache from one operation to the next
PAPER = Variant()
OFFICIAL = Variant(bound="extent", straight_through="projected")


@dataclass(frozen=True)
class Q2D2Config:
    """A `Q2D2` as data."""

    dim: int
    grids: tuple[AnyPair, ...]
    variant: Variant = PAPER
    kind: Literal["q2d2"] = "q2d2"


class Q2D2(Quantizer):
    """latent [batch frames dim] -> features [batch frames dim], indices int64 [batch frames pairs].

    One grid per pair of projected channels (per triple, with three-dimensional grids). A `Refinement` in a grid's
    place has no channels of its own: it quantizes what an earlier pair left over (the pairs that have channels are the
    `sources`). Either way a pair gives a code an axis and an index, and a prefix of the pairs is a code. The state dict
    holds the two projections and nothing else; there are none where `dim` already equals their width.
    """

    def __init__(self, dim: int, grids: Sequence[Grid | Refinement], variant: Variant = PAPER) -> None:
        grids = tuple(grids)
        own = tuple(grid.grid if isinstance(grid, Refinement) else grid for grid in grids)
        super().__init__(dim, [grid.num_points for grid in own])
        if not own or len({grid.dimension for grid in own}) != 1:
            raise ValueError("Q2D2 needs at least one grid, and all of the same dimension")
        self.grids = own
        self.refines = tuple(grid.of if isinstance(grid, Refinement) else None for grid in grids)
        self.variant = variant
        self.axes = own[0].dimension
        self.stages = stages_of(own, self.refines)
        sources = self.stages[0].pairs
        if len(sources) < len(own) and (variant.gradient, variant.straight_through) != ("ste", "bounded"):
            raise ValueError("refinements have no other gradient than 'ste' at the 'bounded' point")
        self.channels = channels = self.axes * len(sources)
        width = self.axes * len(own)
        self.project_in: nn.Module = nn.Linear(dim, channels) if dim != channels else nn.Identity()
        self.normalize: nn.Module = nn.LayerNorm(channels) if variant.input_projection == "layernorm" else nn.Identity()
        self.project_out: nn.Module = nn.Linear(width, dim) if dim != width else nn.Identity()

        bounds = [self._bound_of(grid) for grid in own]
        self._keep("stage_table", stage_table(own, self.refines, bounds, self.stages))
        self._keep("extent", torch.tensor([grid.extent for grid in own]))
        self._keep("bound", torch.tensor([bounds[pair] for pair in sources]))
        table = torch.full((len(own), max(self.points), self.axes), math.nan)  # no code past a grid's last point
        for pair, grid in enumerate(own):
            # as the snapping itself rounds them, so that tokens give the very features they were made of
            points = grid.nearest(torch.from_numpy(grid.points).float()).points
            table[pair, : grid.num_points] = points / points.new_tensor(grid.extent)
        self._keep("code_table", table)
        order = [pair for stage in self.stages for pair in stage.pairs]
        numbers = {
            "parents": [place for stage in self.stages for place in stage.parents],
            "places": [order.index(pair) for pair in range(len(own))],  # of each pair, stage after stage
            "sources": sources,
        }
        for name, values in numbers.items():
            self.register_buffer(name, torch.tensor(values, dtype=torch.int64), persistent=False)

    def _bound_of(self, grid: Grid) -> tuple[float, ...]:
        """z' = z * bound: from the tanh's [-1, 1] to the units of the grid."""
        return grid.half_width if self.variant.bound == "half_width" else tuple(e * (1 + 1e-3) for e in grid.extent)

    @classmethod
    def from_config(cls, config: Q2D2Config) -> Q2D2:
        return cls(config.dim, config.grids, config.variant)

    @classmethod
    def from_levels(
        cls, levels: Sequence[int], tiling: str = "rhombic", dim: int = 512, variant: Variant = PAPER
    ) -> Q2D2:
        """The paper's notation: one number of levels per channel, `[7] * 6` being three pairs of 7 x 7."""
        if tiling not in TILINGS:
            raise ValueError(f"unknown tiling {tiling!r}: one of {', '.join(TILINGS)}")
        grid = TILINGS[tiling]
        if not levels or len(levels) % grid.dimension:
            raise ValueError(f"{tiling} grids take {grid.dimension} levels each, got {len(levels)} levels")
        firsts = range(0, len(levels), grid.dimension)
        return cls(dim, [grid(tuple(levels[i : i + grid.dimension])) for i in firsts], variant)

    def _keep(self, name: str, value: Tensor) -> None:
        # stored as int32 bit patterns, out of reach of .half() and .bfloat16(), which would move the grid
        self.register_buffer(f"_{name}_bits", value.float().contiguous().view(torch.int32), persistent=False)

    def _kept(self, name: str) -> Tensor:
        return self.get_buffer(f"_{name}_bits").view(torch.float32)

    def project(self, latent: Float[Tensor, "batch frames dim"]) -> Float[Tensor, "batch frames sources axes"]:
        """The paper's z: projected channels in float32, in [-1, 1] after the tanh, of the pairs that have some."""
        own_dtype = next(self.parameters(), latent).dtype
        z = self.normalize(self.project_in(latent.to(own_dtype))).float()
        z = torch.tanh(z) if self.variant.input_projection == "tanh" else z.clamp(-FAR, FAR)
        return z.unflatten(-1, (-1, self.axes))

    def tables(self) -> dict[str, Tensor]:
        """What `refinement.run_stages` takes beside z and `stages`, and the pairs' places in what it gives."""
        return {
            "stage_table": self._kept("stage_table"),
            "parents": self.get_buffer("parents"),
            "places": self.get_buffer("places"),
        }

    def synthesis_matrix(self) -> Float[Tensor, "channels codes"]:
        """The plain sum of the stages, in float64: channels from the codes of their pairs and what refines them."""
        bounds = [self._bound_of(grid) for grid in self.grids]
        return torch.from_numpy(synthesis_matrix(self.grids, self.refines, bounds))

    @torch.no_grad()
    def coordinates(self, z: Float[Tensor, "batch frames sources axes"]) -> Float[Tensor, "batch frames pairs axes"]:
        """The paper's z' from `project`'s z: what is rounded, in the units of each pair's grid."""
        found = self._run_stages(z.flatten(0, 1))
        columns = [self._in_order([own.coordinates[axis] for own in found]) for axis in range(self.axes)]
        return torch.stack(columns, dim=-1).unflatten(0, z.shape[:2])

    def forward(
        self,
        latent: Float[Tensor, "batch frames dim"],
        mask: Bool[Tensor, "batch frames"] | None = None,
        num_pairs: int | Int64[Tensor, " batch"] | None = None,
    ) -> Quantized:
        if latent.ndim != 3:
            raise ValueError(f"Q2D2 takes [batch frames dim], got a latent of shape {tuple(latent.shape)}")
        with torch.autocast(latent.device.type, enabled=False):
            z = self.project(latent)
            codes, indices = self._quantize(z)
            if self.training or z.requires_grad:
                codes = self._differentiable(z, codes)
            if num_pairs is not None:
                codes = codes * prefix_mask(num_pairs, self.num_pairs, codes.device).unsqueeze(-1)
            features = self._unproject(codes, latent.dtype)
        if mask is not None:
            features = features.masked_fill(~mask.unsqueeze(-1), 0)
            indices = indices.masked_fill(~mask.unsqueeze(-1), 0)
        return Quantized(features, indices)

    @torch.no_grad()
    def _quantize(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Codes [batch frames pairs axes] and indices [batch frames pairs] of z [batch frames sources axes]."""
        flat, extent = z.flatten(0, 1), self._kept("extent")
        codes = torch.empty(len(flat), self.num_pairs, self.axes, device=z.device)
        indices = torch.empty(len(flat), self.num_pairs, dtype=torch.int64, device=z.device)
        in_blocks = z.device.type == "cpu" and not torch.compiler.is_compiling()
        rows = max(1, CACHED // self.num_pairs) if in_blocks else max(1, len(flat))
        for block, code, index in zip(*(part.split(rows) for part in (flat, codes, indices)), strict=True):
            found = self._run_stages(block)
            for axis in range(self.axes):
                code[..., axis] = self._in_order([own.points[axis] for own in found])
            code.div_(extent)
            index.copy_(self._in_order([own.indices for own in found]))
        return codes.unflatten(0, z.shape[:2]), indices.unflatten(0, z.shape[:2])

    def _run_stages(self, z: Float[Tensor, "rows sources axes"]) -> list[Snapped]:
        columns = [axis.T.contiguous() for axis in z.unbind(-1)]
        return run_stages(columns, self.stages, self.get_buffer("parents"), self._kept("stage_table"))

    def _in_order(self, found: list[Tensor]) -> Float[Tensor, "rows pairs"]:
        """What was found in each stage [pairs rows], in the order of the pairs."""
        return (found[0] if len(found) == 1 else torch.cat(found).index_select(0, self.get_buffer("places"))).T

    def _differentiable(self, z: Tensor, codes: Tensor) -> Tensor:
        """The value `codes` (with noise: of z and noise) and the variant's gradient to z."""
        bound, extent = self._kept("bound"), self._kept("extent")
        if len(self.stages) > 1:
            # straight through at the pairs with channels; through those that refine them as well it would count twice
            sources = self.get_buffer("sources")
            carrier = z * bound / extent[sources]
            return codes.index_add(2, sources, carrier - carrier.detach())
        if self.variant.gradient == "noise" and self.training:
            # the error of snapping a uniformly random point of the box: noise with the shape of the grid's own cells
            random = 2 * torch.rand_like(codes) - 1
            return z * (bound / extent) + (self._nearest(random)[0] - random)
        if self.variant.gradient == "rotation":
            carrier = _rotated(z * bound, codes * extent)
        else:
            carrier = z * bound if self.variant.straight_through == "bounded" else z
        return codes + (carrier - carrier.detach()) / extent

    def _nearest(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """The nearest code of each pair by itself, and its index."""
        extent = self._kept("extent")
        found = [grid.nearest(codes[..., pair, :] * extent[pair]) for pair, grid in enumerate(self.grids)]
        return torch.stack([own.points for own in found], -2) / extent, torch.stack([own.indices for own in found], -1)

    def _unproject(self, codes: Tensor, dtype: torch.dtype) -> Tensor:
        flat = codes.flatten(-2)
        if isinstance(self.project_out, nn.Linear):
            # in float64, so that a frame's features are the same whichever frames go with it: a decoded pitch adds up
            # what float32 would make of one frame and of many (docs/log.md, 2026-11-25)
            weight, bias = self.project_out.weight.double(), self.project_out.bias.double()
            flat = nn.functional.linear(flat.double(), weight, bias)
        return flat.to(dtype)

    def indices_to_codes(
        self, indices: Int64[Tensor, "batch frames prefix"]
    ) -> Float[Tensor, "batch frames prefix axes"]:
        """Grid coordinates of these points over the extent: in [-1, 1] (staggered rows reach a little further)."""
        pairs = torch.arange(indices.shape[-1], device=indices.device)
        return self._kept("code_table")[pairs, indices]

    def codes_to_indices(self, codes: Float[Tensor, "batch frames pairs axes"]) -> Int64[Tensor, "batch frames pairs"]:
        """Inverse of `indices_to_codes`, for all pairs; any other point gives the nearest code's index."""
        return self._nearest(codes.float())[1]

    def indices_to_features(self, indices: Int64[Tensor, "batch frames prefix"]) -> Float[Tensor, "batch frames dim"]:
        codes = nn.functional.pad(self.indices_to_codes(indices), (0, 0, 0, self.num_pairs - indices.shape[-1]))
        return self._unproject(codes, next(self.parameters(), codes).dtype)


def _rotated(vectors: Tensor, targets: Tensor) -> Tensor:
    """`targets` with the gradient to `vectors` of the rotation and scaling that take one to the other.

    The rotation trick (Fifty et al. 2024). A target or vector at the origin has no direction: straight-through there.
    """
    e, q = vectors.detach(), targets
    e_norm, q_norm = e.norm(dim=-1, keepdim=True), q.norm(dim=-1, keepdim=True)
    e_hat, q_hat = e / e_norm.clamp(min=1e-6), q / q_norm.clamp(min=1e-6)
    middle = e_hat + q_hat
    r = middle / middle.norm(dim=-1, keepdim=True).clamp(min=1e-6)

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum(-1, keepdim=True)

    turned = (q_norm / e_norm.clamp(min=1e-6)) * (vectors - 2 * r * dot(r, vectors) + 2 * q_hat * dot(e_hat, vectors))
    return torch.where((e_norm > 1e-3) & (q_norm > 1e-3), turned, vectors)
