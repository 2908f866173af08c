"""A learned codebook on several processes follows the data of all of them, not of the first."""

import os
from pathlib import Path

import torch
import torch.distributed
from torch.multiprocessing import spawn

from q2d2.baselines import VQ, VQConfig

DIM, CODES, FRAMES = 4, 8, 64


def a_step(latent: torch.Tensor) -> dict[str, torch.Tensor]:
    """The buffers of a codebook, the same everywhere at first, after one training step on this latent."""
    vq = VQ(VQConfig(dim=DIM, codebook_size=CODES, dead_below=0.0)).train()
    start = torch.randn(1, CODES, DIM, generator=torch.Generator().manual_seed(3))
    codebook = vq.stages[0].get_submodule("_codebook")
    for name, value in (("embed", start), ("embed_avg", start), ("cluster_size", torch.ones(1, CODES))):
        codebook.get_buffer(name).copy_(value)
    codebook.get_buffer("initted").fill_(True)
    vq(latent)
    return {name: codebook.get_buffer(name).clone() for name in ("embed", "embed_avg", "cluster_size")}


def latents() -> torch.Tensor:
    """Two rows of different kinds of vectors."""
    rows = torch.randn(2, FRAMES, DIM, generator=torch.Generator().manual_seed(4))
    return rows + torch.tensor([-2.0, 2.0]).view(2, 1, 1)


def worker(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    torch.save(a_step(latents()[rank : rank + 1]), f"{folder}/{rank}.pt")
    torch.distributed.barrier()  # a process that leaves early takes the connection of the other with it
    torch.distributed.destroy_process_group()
    os._exit(0)  # gloo's threads now and then abort a process that takes itself apart


def test_counts_and_sums_are_those_of_all_processes(tmp_path: Path) -> None:
    spawn(worker, args=(str(tmp_path),), nprocs=2)
    together = a_step(latents())
    alone = a_step(latents()[:1])
    for rank in range(2):
        mine = torch.load(tmp_path / f"{rank}.pt")
        for name, value in together.items():
            torch.testing.assert_close(mine[name], value, msg=lambda text, name=name: f"{name}: {text}")
            assert not torch.allclose(mine[name], alone[name])
