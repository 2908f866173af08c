"""What a file and a prior may say of the codec that made the indices."""

import re

MAX_RATE_HZ = 1_000_000
MAX_HOP = 1 << 16
MAX_NAME = 64  # characters


def require(condition: bool, message: str) -> None:
    """ValueError with the message unless the condition holds."""
    if not condition:
        raise ValueError(message)


def require_range(name: str, value: int, low: int, high: int) -> None:
    """ValueError unless the value is in low..high."""
    require(low <= value <= high, f"{name} is not in {low}..{high}")


def require_hash(name: str, value: str) -> None:
    """ValueError unless the value is 16 lower-case hex digits."""
    require(re.fullmatch("[0-9a-f]{16}", value) is not None, f"{name} is no hash")


def require_codec(model: str, weights: str, codec_rate_hz: int, hop: int) -> None:
    """ValueError unless these can be of a codec."""
    require(1 <= len(model) <= MAX_NAME and model.isprintable(), "model is no printable name")
    require_hash("weights", weights)
    require_range("codec_rate_hz", codec_rate_hz, 1, MAX_RATE_HZ)
    require_range("hop", hop, 1, MAX_HOP)
