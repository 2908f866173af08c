"""Models that differ in one thing, trained with the same budget and scored on the same clips: the paper's Tables 8-12.

`ablate(AblateConfig(...))` trains a grid of presets and seeds, goes on where it was killed, and prints tables that say
which models have the same bits.
"""

from q2d2.ablation.config import AblateConfig
from q2d2.ablation.run import Ablation, ablate

__all__ = ["AblateConfig", "Ablation", "ablate"]
