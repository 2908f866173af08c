"""Streams: sound in pieces of any size -> indices as soon as they are known, and back, in memory that does not grow.

A local codec is a chain of stages, each of which sees a fixed number of steps around its own. A stream keeps just those
steps between two pieces, so nothing is computed twice, and what comes out is what the whole signal would give. Knows
nothing of files, and of a codec only its parts.
"""

from q2d2.streams.live import StreamingDecoder, StreamingEncoder

__all__ = ["StreamingDecoder", "StreamingEncoder"]
