"""What a measurement was made on, in words: numbers of two machines, or of one that was busy, do not compare."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path

import torch


def machine(devices: Sequence[str]) -> str:
    """The processor, how busy it is, the GPUs that are used, and the version of PyTorch."""
    parts = [f"{_processor()}, {os.cpu_count()} logical cores, {_load()}"]
    parts += [torch.cuda.get_device_name(name) for name in devices if torch.device(name).type == "cuda"]
    return "; ".join([*parts, f"PyTorch {torch.__version__}, {platform.system()}"])


def check_device(name: str) -> None:
    """ValueError unless this is a CPU or a GPU that is there."""
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"there is no device {name}: give cpu or cuda") from error
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"the device {name} is not supported: give cpu or cuda")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"the device {name} is not there; give cpu, or cuda on a machine with a GPU")


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _load() -> str:
    """Processes that wanted to run in the last minute: beyond the number of threads, they took turns."""
    return f"{os.getloadavg()[0]:.1f} of them busy at the start"
