"""Clips of any lengths through a codec's networks, many at a time, each as if it were alone.

Where encoder and decoder are local in time, clips are cut into windows of `WINDOW` frames with the context that their
receptive fields need, and windows of like lengths go through together. Beyond its ends a signal is silent: the encoder
sees zeros there, the decoder the indices of silence. Networks that are not local see each clip whole, one at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from q2d2.config import Parts
from q2d2.windows import Span, batches, copy_span, joined, spans

WINDOW = 1024  # frames per window: 19 s of `speech`, a multiple of the decoder's blocks

# frames per pass through the networks, context included: they bound memory. A CPU keeps so few in its cache from one
# layer to the next (docs/log.md, 2026-11-25), a GPU wants more to be busy.
CPU_FRAMES, GPU_FRAMES = 1024, 6144


def batch_frames(device: torch.device) -> int:
    """Frames that should pass through the networks together."""
    return CPU_FRAMES if device.type == "cpu" else GPU_FRAMES


@torch.inference_mode()
def encode_clips(
    parts: Parts, signals: Sequence[Float32[np.ndarray, " _"]], device: torch.device
) -> list[Int64[np.ndarray, "_ pairs"]]:
    """Mono signals at the codec's own rate -> the indices of each, all pairs of them."""
    (before, after), hop = parts.encoder.context or (0, 0), parts.encoder.hop
    found: dict[Span, np.ndarray] = {}
    for batch in _batches(parts, [-(-len(signal) // hop) for signal in signals], before + after, device):
        longest = max(span.frames for span in batch)
        rows = np.zeros((len(batch), (before + longest + after) * hop), np.float32)
        for row, span in zip(rows, batch, strict=True):
            copy_span(row, signals[span.clip], (span.start - before) * hop, (span.stop + after) * hop)
        indices = parts.quantizer(parts.encoder(torch.from_numpy(rows).to(device))).indices.cpu().numpy()
        for row, span in zip(indices, batch, strict=True):
            found[span] = row[before : before + span.frames].copy()
    return joined(found, len(signals))


@torch.inference_mode()
def decode_clips(
    parts: Parts, clips: Sequence[Int64[np.ndarray, "_ _pairs"]], silence: Int64[Tensor, " pairs"]
) -> list[Float32[np.ndarray, " _"]]:
    """The indices of clips, each of any number of pairs -> the samples of each: whole frames, the codec's own rate."""
    lead, before, after = parts.decoder.context or (0, 0, 0)
    hop, device, quiet = parts.decoder.hop, silence.device, silence.numpy(force=True)
    found: dict[Span, np.ndarray] = {}
    for batch in _batches(parts, [len(clip) for clip in clips], lead + after, device):
        longest = max(span.frames for span in batch)
        # clips of different rates share a pass: what a row lacks is masked out of its features
        pairs = [clips[span.clip].shape[1] for span in batch]
        rows = np.tile(quiet[: max(pairs)], (len(batch), lead + longest + after, 1))
        for row, span, width in zip(rows, batch, pairs, strict=True):
            copy_span(row[:, :width], clips[span.clip], span.start - lead, span.stop + after)
        features = torch.cat(
            [
                parts.quantizer.indices_to_features(torch.from_numpy(row[None, :, :width]).to(device))
                for row, width in zip(rows, pairs, strict=True)
            ]
        )
        starts = torch.tensor([span.start - lead for span in batch], device=device)
        decoded = parts.decoder(features, torch.tensor(pairs, device=device), starts, skip=lead - before)
        for row, span in zip(decoded.wav.cpu().numpy(), batch, strict=True):
            found[span] = row[before * hop : (before + span.frames) * hop].copy()
    return joined(found, len(clips))


def _batches(parts: Parts, frames: Sequence[int], context: int, device: torch.device) -> Iterator[list[Span]]:
    """What passes through the networks together; whole clips, and singly, where they are not local."""
    local = parts.encoder.context is not None and parts.decoder.context is not None
    return batches(spans(frames, WINDOW if local else None), context, batch_frames(device) if local else 0)
