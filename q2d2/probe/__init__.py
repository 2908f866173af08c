"""What a codec's tokens know of what was said, by whom and how: ARCH's linear probe (the paper's Table 7).

`probe(ProbeConfig(set="audiomnist", data=..., out=...))` averages the quantized embeddings of each clip of a labelled
set over time and trains one linear layer on them. High accuracy means that the labels can be read from such an average
by a line; it does not mean that the codec was made to carry them, and low accuracy not that they are lost: what lies in
the order of the tokens, an average does not show.
"""

from q2d2.probe.labelled import ProbeError
from q2d2.probe.run import Probe, ProbeConfig, probe

__all__ = ["Probe", "ProbeConfig", "ProbeError", "probe"]
