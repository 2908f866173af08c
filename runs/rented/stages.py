"""The stages of `check.py` that train nothing: `python stages.py NAME [VALUES]`, a process each.

What one finds is a line of JSON, at once, so that it is known even if the next thing hangs.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable


def imports() -> None:
    import numpy
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    found = {"python": sys.version.split()[0], "torch": torch.__version__, "numpy": numpy.__version__, "gpu": gpu}
    print(json.dumps(found), flush=True)
    import q2d2.train.run  # noqa: F401

    device = "cuda" if gpu else "cpu"
    product = torch.ones(512, 512, device=device) @ torch.ones(512, 512, device=device)
    assert product.sum().item() == 512.0**3


def loads(folder: str) -> None:
    import torch

    from q2d2 import checkpoint

    codec = checkpoint.load(folder)
    codes = codec.encode(0.1 * torch.randn(24_000).numpy(), 24_000)
    assert len(codec.decode(codes))


def micro(*sizes: str) -> None:
    """Milliseconds, forward and backward: depthwise convolutions, and those of the pitch head in float64."""
    import torch
    from torch import Tensor, nn

    rows = [int(size) for size in sizes]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    channels, kernel = 384, 7

    def milliseconds(run: Callable[[], Tensor]) -> float:
        times = []
        for repeat in range(3 + (20 if device == "cuda" else 2)):
            begun = time.perf_counter()
            run()
            if device == "cuda":
                torch.cuda.synchronize()
            if repeat >= 3 or device == "cpu":
                times.append(time.perf_counter() - begun)
        return round(1000 * statistics.median(times), 3)

    def timed(name: str, function: Callable[..., Tensor], *inputs: Tensor) -> None:
        def both() -> Tensor:
            return torch.autograd.grad(function(*inputs).sum(), inputs)[0]

        try:
            print(json.dumps({name: milliseconds(both)}), flush=True)
        except Exception as error:
            print(json.dumps({name: f"{type(error).__name__}: {error}"[:200]}), flush=True)

    def convolved(x: Tensor, weight: Tensor) -> Tensor:
        padded = nn.functional.pad(x, (0, 0, kernel // 2, kernel // 2))
        image = padded.transpose(1, 2).unsqueeze(2)  # as `ConvNeXtBlock` does
        return nn.functional.conv2d(image, weight[:, None, None], groups=channels).squeeze(2).transpose(1, 2)

    def shifted(x: Tensor, weight: Tensor) -> Tensor:
        padded = nn.functional.pad(x, (0, 0, kernel // 2, kernel // 2))
        parts = [padded[:, tap : tap + x.shape[1]] * weight[:, tap] for tap in range(kernel)]
        return sum(parts[1:], parts[0])

    def pitch_convolved(x: Tensor, weight: Tensor) -> Tensor:
        return nn.functional.conv1d(x.transpose(1, 2), weight).transpose(1, 2)

    def pitch_product(x: Tensor, weight: Tensor) -> Tensor:
        return x.unfold(1, weight.shape[-1], 1).flatten(2) @ weight.flatten(1).T

    def tensor(*shape: int, dtype: torch.dtype) -> Tensor:
        return torch.randn(*shape, device=device, dtype=dtype).requires_grad_()

    bf16, double = torch.bfloat16, torch.float64
    for batch in rows:
        for frames in (72, 360):
            inputs = tensor(batch, frames, channels, dtype=bf16), tensor(channels, kernel, dtype=bf16)
            timed(f"depthwise {batch}x{frames} convolution", convolved, *inputs)
            timed(f"depthwise {batch}x{frames} shifted", shifted, *inputs)
        pitch = tensor(batch, 76, 320, dtype=double), tensor(96, 320, 5, dtype=double)
        timed(f"pitch head {batch}x72 convolution", pitch_convolved, *pitch)
        timed(f"pitch head {batch}x72 product", pitch_product, *pitch)
    inputs = tensor(rows[-1], 360, channels, dtype=bf16), tensor(channels, kernel, dtype=bf16)
    for name, function in (("shifted", shifted), ("convolution", convolved)):
        timed(f"depthwise {rows[-1]}x360 {name}, compiled", torch.compile(function, dynamic=False), *inputs)


if __name__ == "__main__":
    stages: dict[str, Callable[..., None]] = {"imports": imports, "loads": loads, "micro": micro}
    stages[sys.argv[1]](*sys.argv[2:])
