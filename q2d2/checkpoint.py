"""Folder <-> codec: `config.json`, `model.safetensors` and perhaps `prior.safetensors`. Never pickle.

`load()` is the shipped `speech` model, `load("speech-live")` the other one in the package, `load("path/to/folder")` a
local one, `load("owner/name")` one from the Hugging Face hub. Weights are float16 on disk and float32 in memory, and
what they compute is known only once they are rounded: a `.q2d2` file names the weights by the hash of the file they
came from.
"""

from __future__ import annotations

import copy
import hashlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from q2d2.atomic import replacing, write_whole
from q2d2.bitstream import Prior, PriorError
from q2d2.codec import Codec, CodecConfig

SHIPPED = Path(__file__).parent / "models"
CONFIG, WEIGHTS, PRIOR = "config.json", "model.safetensors", "prior.safetensors"


class ModelError(ValueError):
    """A model that cannot be found or loaded: which, why, and what to do."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """`write_whole` for a safetensors file. OSError, and what was there stays, if the disk has no room for it."""
    needed = sum(value.numel() * value.element_size() for value in tensors.values())
    free = shutil.disk_usage(path.parent).free
    if free < needed + 2**20:
        raise OSError(
            f"{path}: needs {needed / 2**20:.1f} MiB and the disk has {free / 2**20:.1f} MiB; make room and go on, "
            f"{'the file that is there stays' if path.exists() else 'nothing was written'}"
        )
    with replacing(path) as temporary:
        try:
            save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, temporary, dict(metadata))
        except SafetensorError as error:
            raise OSError(f"{path}: cannot be written ({error}); the disk may be full") from error


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the metadata of a safetensors file; ModelError if it is none."""
    try:
        with safe_open(path, "pt") as file:
            metadata = dict(file.metadata() or {})
        return load_file(path), metadata
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: is not a readable safetensors file ({error}); fetch it again") from error


def save(codec: Codec, folder: str | Path) -> None:
    """Write `codec`, which stays as it is, as a model folder: `load` gives it back with its weights rounded.

    Where the weights are others than before, a prior that is there is deleted, and files coded with it can no longer be
    read; `q2d2 fit-prior` fits another. OSError, with the old files in place, if the disk has no room.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rounded = copy.deepcopy(codec)
    rounded.load_state_dict({name: _half(value) for name, value in codec.state_dict().items()})
    rounded.measure_silence()
    half = {name: _half(value) for name, value in rounded.state_dict().items()}
    write_whole(folder / CONFIG, TypeAdapter(CodecConfig).dump_json(codec.config, indent=1) + b"\n")
    before = _hash(folder / WEIGHTS) if (folder / WEIGHTS).is_file() else None
    write_tensors(folder / WEIGHTS, half, {})
    after = _hash(folder / WEIGHTS)
    if codec.prior is not None and codec.prior.weights == after:
        write_whole(folder / PRIOR, codec.prior.data)
    elif after != before:
        (folder / PRIOR).unlink(missing_ok=True)


def load(model: str | Path | None = None, with_prior: bool = True) -> Codec:
    """The codec of this name, folder or hub id (default: the shipped `speech`), on the CPU and ready to run.

    with_prior: whether to take up the prior that is there.
    """
    folder = SHIPPED / "speech" if model is None else _folder(model)
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise ModelError(f"{folder}: holds no model, {name} is missing; `q2d2 train` writes such folders")
    try:
        # strict, and no unknown fields: a misspelt setting must not become a default
        config = TypeAdapter(CodecConfig).validate_json((folder / CONFIG).read_bytes(), strict=True, extra="forbid")
        codec = Codec(config)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ModelError(f"{folder / CONFIG}: {where}: {first['msg']}") from error
    except ValueError as error:
        raise ModelError(f"{folder / CONFIG}: {error}") from error
    state, _ = read_tensors(folder / WEIGHTS)
    try:
        codec.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip()
        raise ModelError(f"{folder / WEIGHTS}: does not fit {CONFIG}: {reason}") from error
    codec.weights = _hash(folder / WEIGHTS)
    if with_prior and (folder / PRIOR).exists():
        codec.prior = _load_prior(folder / PRIOR, codec)
    return codec.eval()


def shipped_priors() -> Iterator[Prior]:
    """The priors of the models in the package, each loaded when it is asked for."""
    for name in shipped():
        if (SHIPPED / name / PRIOR).is_file():
            yield Prior.load(SHIPPED / name / PRIOR)


def _load_prior(path: Path, codec: Codec) -> Prior:
    """The prior in a model folder; ModelError if it is not for the codec that is there."""
    try:
        prior = Prior.load(path)
    except PriorError as error:
        raise ModelError(str(error)) from error
    own = (codec.config.name, codec.weights, codec.config.sample_rate_hz, codec.hop, codec.quantizer.points)
    if (prior.model, prior.weights, prior.codec_rate_hz, prior.hop, prior.points) != own:
        raise ModelError(
            f"{path}: was fitted to {prior.model}, weights {prior.weights}; beside it are {codec.config.name}, weights "
            f"{codec.weights}: fit it again with q2d2 fit-prior --overwrite, or remove it (files are larger without)"
        )
    return prior


def shipped() -> list[str]:
    """The names of the models in the package."""
    return sorted(folder.name for folder in SHIPPED.iterdir() if folder.is_dir())


def _folder(model: str | Path) -> Path:
    """A local folder as it is, or one in the package; `owner/name` is fetched from the hub (or its local cache)."""
    path = Path(model).expanduser()
    if path.is_dir():
        return path
    if str(model) in shipped():
        return SHIPPED / str(model)
    parts = str(model).split("/")
    if isinstance(model, Path) or len(parts) != 2 or not all(parts) or parts[0] in {".", "..", "~"}:
        names = ", ".join(shipped())
        raise ModelError(f"{model}: no such folder; give one, a shipped model ({names}) or a hub id such as owner/name")
    try:
        return Path(snapshot_download(str(model), allow_patterns=[CONFIG, WEIGHTS, PRIOR]))
    except Exception as error:  # of many unrelated kinds: names, network, permissions, caches
        raise ModelError(
            f"{model}: is no local folder, and the hub did not give it ({type(error).__name__}); check the name and "
            f"the network, or download {CONFIG}, {WEIGHTS} and, if there is one, {PRIOR} by hand into a folder and "
            f"give that"
        ) from error


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _half(value: Tensor) -> Tensor:
    """float16 instead of float32; what that cannot hold (counts beyond 65504, say) stays as it is."""
    half = value.half() if value.is_floating_point() else value
    return half if torch.equal(torch.isfinite(half), torch.isfinite(value)) else value
