"""What moves the weights: AdamW for all of them, or Muon for the matrices inside blocks and AdamW for the rest."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

DECAY = 0.01  # of AdamW, for what is not a bias or a gain


def make_optimizers(
    module: nn.Module, matrices: Iterable[Tensor], betas: tuple[float, float], capturable: bool
) -> list[torch.optim.Optimizer]:
    """Optimisers of the module's weights: Muon for `matrices`, AdamW for the others. Rates are set before each step.

    `capturable`: for a CUDA graph. ValueError if this PyTorch has no Muon.
    """
    by_muon = list(matrices)
    chosen = {id(p) for p in by_muon}
    others = [p for p in module.parameters() if p.requires_grad and id(p) not in chosen]
    groups = [
        {"params": [p for p in others if p.ndim > 1], "weight_decay": DECAY},
        {"params": [p for p in others if p.ndim <= 1], "weight_decay": 0.0},
    ]
    made: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(groups, lr=0.0, betas=betas, fused=True, capturable=capturable)
    ]
    if by_muon:
        if not hasattr(torch.optim, "Muon"):
            raise ValueError(f"the optimiser muon needs PyTorch 2.9 or newer, this is {torch.__version__}")
        # updates as large as AdamW's, so that its learning rate serves both (Liu et al. 2025, arXiv:2502.16982)
        made.append(torch.optim.Muon(by_muon, lr=0.0, weight_decay=DECAY, adjust_lr_fn="match_rms_adamw"))
    return made
