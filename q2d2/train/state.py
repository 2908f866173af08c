"""A run on disk: `state.safetensors` to resume from, `model/` and `discriminators.safetensors` to start others from.

Each file appears whole or not at all, and the model last, so that a run killed at any moment has what it had before.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from q2d2 import checkpoint
from q2d2.codec import Codec
from q2d2.train.step import Player

STATE, MODEL, DISCRIMINATORS = "state.safetensors", "model", "discriminators.safetensors"
MOMENTS = ("exp_avg", "exp_avg_sq", "momentum_buffer")  # what optimisers remember


def save(
    out: Path, players: Mapping[str, Player], averaged: Codec, counts: Mapping[str, int], elapsed_s: float
) -> None:
    """Write all of a run. OSError, with the old files in place, if the disk does not hold it."""
    tensors = {f"average/{name}": value for name, value in averaged.state_dict().items()}
    for role, player in players.items():
        tensors |= {f"{role}/weight/{name}": value for name, value in player.module.state_dict().items()}
        for optimizer in player.optimizers:
            for name, p in player.module.named_parameters():
                moments = optimizer.state.get(p, {})
                tensors |= {f"{role}/{key}/{name}": moments[key] for key in MOMENTS if key in moments}
    meta = {name: str(count) for name, count in counts.items()} | {"elapsed_s": str(elapsed_s)}
    checkpoint.write_tensors(out / STATE, tensors, meta)
    if "discriminators" in players:
        checkpoint.write_tensors(out / DISCRIMINATORS, _trained(players["discriminators"].module), {})
    checkpoint.save(averaged, out / MODEL)


@torch.no_grad()
def load(out: Path, players: Mapping[str, Player], averaged: Codec, counts: Mapping[str, str]) -> dict[str, float]:
    """Take a run up again: the counts and the elapsed seconds. `counts` maps each role to the count of its steps."""
    tensors, meta = checkpoint.read_tensors(out / STATE)
    try:
        averaged.load_state_dict(_under(tensors, "average"))
        for role, player in players.items():
            player.module.load_state_dict(_under(tensors, f"{role}/weight"))
            count = float(meta[counts[role]])
            moments = {key: _under(tensors, f"{role}/{key}") for key in MOMENTS}
            names = {p: name for name, p in player.module.named_parameters()}
            for optimizer in player.optimizers:
                for p in (p for group in optimizer.param_groups for p in group["params"]):
                    # laid out as the parameter is: a fused optimiser walks through both side by side
                    mine = {k: torch.empty_like(p).copy_(v[names[p]]) for k, v in moments.items() if names[p] in v}
                    if mine:
                        steps = {} if "momentum_buffer" in mine else {"step": torch.tensor(count, device=p.device)}
                        optimizer.state[p] = steps | mine
    except (RuntimeError, KeyError) as error:
        raise checkpoint.ModelError(
            f"{out / STATE}: is of another model or other discriminators than this command trains; "
            "give another --out, or the command that began the run"
        ) from error
    return {name: float(value) for name, value in meta.items()}


def load_discriminators(file: Path, adversary: nn.Module) -> bool:
    """Take discriminators from an earlier run, if there are any and they are of the same sets; whether it did."""
    if not file.is_file():
        return False
    tensors, _ = checkpoint.read_tensors(file)
    mine = _trained(adversary)
    if {k: v.shape for k, v in tensors.items()} != {k: v.shape for k, v in mine.items()}:
        return False
    adversary.load_state_dict({k: v.float() for k, v in tensors.items()}, strict=False)
    return True


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(f"{prefix}/"): v for k, v in tensors.items() if k.startswith(f"{prefix}/")}


def _trained(adversary: nn.Module) -> dict[str, Tensor]:
    """The trained sets' weights, as small as a model's."""
    names = {f"sets.{name}." for name in adversary.trained}  # type: ignore[union-attr]
    return {k: v.half() for k, v in adversary.state_dict().items() if k.startswith(tuple(names))}
