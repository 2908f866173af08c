"""What a training step would ask of a GPU, found without one: `python benchmarks/gpu_readiness.py`.

A whole step (rows changed, generator, discriminators, both backward passes, optimisers, average) on `cuda:0` under
PyTorch's FakeTensorMode, in which tensors have a shape and a device and no numbers. For each preset: how many kernels
it launches and from which files, what they read and write, where the processor waits for the device, and whether
tensors of two devices meet. The last line is `kernels N, waits M, mismatches K`: the largest N and M of all runs, and
how many of them ended at a mismatch.

The counts are of the second step, which has its caches and optimiser states, and logs nothing. Kernels are operations
on the device that are not views: casts, copies and fills too. One on lists of tensors counts as often as PyTorch splits
the lists; a convolution's bias and each of its gradients count by themselves. What cuFFT, sorting or scanning split
further counts once, and nothing is compiled or captured, which would make fewer. Waits are values read by the
processor, copies from or to memory that is not pinned, and sizes that depend on values.

PyTorch without CUDA computes no gradients on this device. `fake_device.cpp`, compiled in a few seconds into a temporary
folder, stands in for CUDA there, so a C++ compiler is needed; without one nothing is counted. It has no LSTM: presets
with SEANet's encoder can only be counted where PyTorch has CUDA.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import chain, product
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple
from unittest import mock

import torch
import tyro
from lightning_fabric import Fabric
from lightning_fabric.accelerators import CPUAccelerator
from lightning_fabric.strategies import SingleDeviceStrategy
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DynamicOutputShapeException, FakeTensor, FakeTensorMode
from torch.optim import optimizer
from torch.utils import _foreach_utils
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.cpp_extension import include_paths, library_paths

import q2d2
from q2d2 import presets
from q2d2.codec import Codec
from q2d2.config import CodecConfig
from q2d2.train.config import TrainConfig
from q2d2.train.data import Crops, Raw, Speech
from q2d2.train.recipes import ADVERSARIAL, Recipe, row_samples
from q2d2.train.trainer import Trainer

DEVICE = torch.device("cuda", 0)
SOURCE = Path(q2d2.__file__).parent
MISMATCH = re.compile("two different devices|on the same device")
AUTOGRAD = "(autograd)"  # the place of what cannot be traced to a line of ours

# operations that launch nothing, besides views
ALLOCATIONS = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "lift_fresh", "_unsafe_view"}
SIZED_BY_VALUES = {"nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive", "repeat_interleave"}
TENSORS_PER_LAUNCH = (110, 64, 48, 36, 30)  # of an operation on 1, 2, ... lists (PyTorch's MultiTensorApply.cuh)


@dataclass(frozen=True)
class Arguments:
    """What to count."""

    presets: tuple[str, ...] = ("speech", "speech-live")
    sets: tuple[str, ...] = ("light", "none")  # of discriminators: NAME, NAME+NAME, none, or the recipe's own (recipe)
    rows: int = 64
    seconds: float = 1.35  # of a row
    precision: str = "bfloat16"
    kernels: int = 0  # list so many of the most frequent operations, and of the lines that launch most
    here: bool = False  # the only run, in this process, which has the device (that is how the others are started)


class Place(NamedTuple):
    """A line of ours, and whether a kernel belongs to its backward pass."""

    line: str  # FILE:NUMBER
    backward: bool


class Counts:
    """Of one step."""

    def __init__(self) -> None:
        self.kernels: Counter[tuple[Place, str]] = Counter()  # by place and operation
        self.moved: Counter[tuple[Place, str]] = Counter()  # bytes that they read and write
        self.waits: Counter[tuple[Place, str]] = Counter()  # by place and reason


class Watch(TorchDispatchMode):
    """Counts what passes on its way to FakeTensorMode, and answers what that mode cannot."""

    def __init__(self) -> None:
        super().__init__()
        self.counts = Counts()
        self._lines: dict[int, str] = {}  # of the operations that have a backward pass, by autograd's number for them
        self._pinned: list[Tensor] = []

    def __torch_dispatch__(
        self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name.split("::")[1]
        place = self._place()
        if name == "_pin_memory":
            self._pinned.append(args[0].clone())
            return self._pinned[-1]
        if name == "is_pinned":
            return self._is_pinned(args[0])
        if reason := self._wait(name, args, kwargs):
            self.counts.waits[place, reason] += 1
        if name == "_local_scalar_dense":
            return torch._prims_common.dtype_to_type(args[0].dtype)(1)
        if name.startswith("_fused_"):  # in place; not all of them can be asked about shapes
            if len({t.device for t in _tensors((args, kwargs))}) > 1:
                raise RuntimeError(f"{name}: found two different devices")
            result = None
        else:
            result = func(*args, **kwargs)
        tensors = _tensors((args, kwargs)), _tensors(result)
        if any(t.device == DEVICE for t in chain(*tensors)) and (launches := _launches(func, name, args, tensors[1])):
            self.counts.kernels[place, name] += launches
            self.counts.moved[place, name] += sum(map(_bytes, chain(*tensors)))
        return result

    def _place(self) -> Place:
        node = torch._C._current_autograd_node()
        if node is not None:
            name = node.name().removeprefix("torch::autograd::")
            return Place(self._lines.get(node._sequence_nr(), f"{AUTOGRAD}:{name}"), True)
        line = _our_line()
        self._lines.setdefault(torch.autograd._get_sequence_nr() - 1, line)  # numbered just before it comes by here
        return Place(line, False)

    def _is_pinned(self, tensor: Tensor) -> bool:
        return any(t.untyped_storage()._cdata == tensor.untyped_storage()._cdata for t in self._pinned)

    def _wait(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
        """Why the processor waits for the device in this operation, if it does."""
        on_device = any(t.device == DEVICE for t in _tensors((args, kwargs)))
        if name == "_local_scalar_dense" and on_device:
            return "a value is read"
        if name in SIZED_BY_VALUES and on_device:
            return f"{name}: a size depends on values"
        if name.startswith(("index", "_index", "_unsafe_index")) and name != "index_select" and on_device:
            indices = _tensors(args[1])
            if any(t.dtype in (torch.bool, torch.uint8) for t in indices):
                return "index by a mask: a size depends on values"
            if any(t.device != DEVICE for t in indices):
                return "indices are copied to the device"
        if name in ("_to_copy", "copy_"):
            target, source = (args[0], args[1]) if name == "copy_" else (None, args[0])
            device = kwargs.get("device", source.device) if target is None else target.device
            asynchronous = kwargs.get("non_blocking", len(args) > 2 and args[2])
            host = target if source.device == DEVICE else source
            pinned = asynchronous and host is not None and self._is_pinned(host)
            if source.device.type != device.type and not pinned:
                return f"a copy of {_bytes(source)} bytes {'from' if source.device == DEVICE else 'to'} the device"
        return None


def _launches(func: Any, name: str, args: tuple[Any, ...], made: list[Tensor]) -> int:
    """How many kernels an operation on the device is."""
    is_view = any(r.alias_info is not None and not r.alias_info.is_write for r in func._schema.returns)
    if is_view or name in ALLOCATIONS or torch.Tag.inplace_view in func.tags or func.namespace == "prim":
        return 0
    if name.startswith(("_foreach", "_fused")):
        lists = [a for a in args if isinstance(a, Sequence) and a and isinstance(a[0], Tensor)]
        depth = len(lists) + bool(made)
        return math.ceil(len(lists[0]) / TENSORS_PER_LAUNCH[min(depth, len(TENSORS_PER_LAUNCH)) - 1])
    if name == "convolution":
        return 1 + (args[2] is not None)
    return len(made) if name == "convolution_backward" else 1


def _our_line() -> str:
    """The line of ours that is being run, as FILE:NUMBER."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and not frame.f_code.co_filename.startswith(str(SOURCE)):
        frame = frame.f_back
    return "(elsewhere)" if frame is None else _shown(frame.f_code.co_filename, frame.f_lineno)


def _shown(file: str, number: int | None) -> str:
    return f"{Path(file).relative_to(SOURCE).as_posix()}:{number}"


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _bytes(tensor: Tensor) -> int:
    """Of memory behind it: an expanded tensor is as small as what it repeats."""
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())


@contextmanager
def fake_gpu() -> Iterator[None]:
    """FakeTensorMode, and PyTorch's answers and ways as they are with real tensors on a GPU."""
    fakes = [*_foreach_utils._foreach_supported_types, FakeTensor]  # else tensors are clipped one by one
    one_by_one = FakeTensor.tolist
    with ExitStack() as stack:
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        for owner, name, value in (
            (_foreach_utils, "_foreach_supported_types", fakes),
            (optimizer, "_foreach_supported_types", [*optimizer._foreach_supported_types, FakeTensor]),
            (torch.cuda.amp.common, "amp_definitely_not_available", lambda: False),
            (torch.cuda, "is_bf16_supported", lambda *_: True),
            (torch.cuda, "current_stream", mock.MagicMock()),
            (FakeTensor, "tolist", lambda tensor: one_by_one(tensor.cpu())),
            (nn.Module, "_apply", _apply),
        ):
            stack.enter_context(mock.patch.object(owner, name, value))
        yield


def _apply(module: nn.Module, change: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
    """What `nn.Module.to` does; its own way, new contents for the old parameter, fails with fake tensors."""
    for child in module.children():
        child._apply(change)
    with torch.no_grad():
        for name, parameter in module._parameters.items():
            if parameter is not None and (moved := change(parameter)) is not parameter:
                module._parameters[name] = nn.Parameter(moved, parameter.requires_grad)
        for name, buffer in module._buffers.items():
            module._buffers[name] = buffer if buffer is None else change(buffer)
    return module


class OnDevice(Fabric):
    """Fabric of one process, on a device that it would not find."""

    def __init__(self) -> None:
        super().__init__(strategy=SingleDeviceStrategy(DEVICE, CPUAccelerator()))

    def to_device(self, obj: Any) -> Any:
        return obj  # the trainer has put it there


@dataclass(frozen=True)
class WithSets(TrainConfig):
    """A run with other discriminators than its recipe's."""

    sets: tuple[str, ...] = ()

    def settled(self, codec: CodecConfig) -> Recipe:
        recipe = super().settled(codec)
        weights = {f"{name}_{what}": 1.0 for name in self.sets for what in ADVERSARIAL}
        return replace(recipe, discriminators=self.sets, weights=weights | recipe.weights)


class HeldCorpus(Speech):
    """Rows of a packed corpus that the device holds."""

    def __init__(self, crops: Crops, rows: int) -> None:
        super().__init__(crops, utterances=1)
        self._rows = rows
        self.on_device = torch.zeros(2 * crops.source_samples, dtype=torch.int16, device=crops.device)

    def raw_at(self, step: int) -> Raw:
        changes = torch.from_numpy(self.crops.draw(step, self._rows))
        starts, gains = torch.zeros(self._rows, dtype=torch.int64), torch.ones(self._rows)
        return Raw(None, starts, gains, changes, ("",) * self._rows)


def make_trainer(arguments: Arguments, codec: Codec, sets: str) -> tuple[Trainer, Speech]:
    """On the device, past the recipe's beginning without discriminators; and what it trains on."""
    options: dict[str, Any] = {"data": Path("data"), "out": Path("out"), "steps": 1000, "preset": codec.config.name}
    options |= {"batch": arguments.rows, "seconds": arguments.seconds, "precision": arguments.precision}
    options |= {"compile": "off", "adversarial_from": 0.0}
    if sets == "recipe":
        config = TrainConfig(**options)
    else:
        config = WithSets(**options, sets=() if sets == "none" else tuple(sets.split("+")))
    trainer = Trainer(codec._apply(torch.clone), config, OnDevice())
    recipe = trainer.recipe
    samples, rate_hz = row_samples(recipe, codec.config, codec.hop), codec.config.sample_rate_hz
    return trainer, HeldCorpus(Crops(samples, rate_hz, config.seed, recipe.augment, trainer.device), recipe.batch)


def run_step(trainer: Trainer, speech: Speech) -> None:
    """One step as the loop does it, the change of its rows included."""
    trainer.train_step(speech.made(speech.raw_at(trainer.step).pinned()), 0.5)


def count(arguments: Arguments, preset: str, sets: str) -> str:
    """The tables of one run, and its last line."""
    watch, found = Watch(), None
    codec = Codec(presets.find(preset))  # still with numbers: some weights are drawn until they fit
    with fake_gpu(), watch:
        try:
            trainer, speech = make_trainer(arguments, codec, sets)
            for _ in range(2):
                watch.counts = Counts()
                run_step(trainer, speech)
        except RuntimeError as error:
            if not (MISMATCH.search(str(error)) or isinstance(error, DynamicOutputShapeException)):
                raise
            found = error
    title = f"\n{preset}, discriminators: {sets}; {arguments.rows} rows of {arguments.seconds:g} s"
    lines = [title, *tables(watch.counts, arguments.kernels)]
    if found is not None:
        ours = [f for f in traceback.extract_tb(found.__traceback__) if f.filename.startswith(str(SOURCE))]
        where = _shown(ours[-1].filename, ours[-1].lineno) if ours else "(elsewhere)"
        lines.append(f"ended at {where}: {str(found).splitlines()[0]}")
    mismatches = int(found is not None and not isinstance(found, DynamicOutputShapeException))
    return "\n".join([*lines, _verdict(watch.counts.kernels.total(), watch.counts.waits.total(), mismatches)])


def tables(counts: Counts, listed: int) -> list[str]:
    """Kernels by file and, if asked for, by line and operation; and the waits."""

    def ranked(title: str, named: Callable[[Place, str], str], most: int | None) -> list[str]:
        both: Counter[str] = Counter()
        backward: Counter[str] = Counter()
        moved: Counter[str] = Counter()
        for (place, operation), launches in counts.kernels.items():
            name = named(place, operation)
            both[name] += launches
            backward[name] += launches * place.backward
            moved[name] += counts.moved[place, operation]
        rows = [f"\n| {title} | kernels | forward | backward | GB |\n|---|---:|---:|---:|---:|"]
        for name, total in both.most_common(most):
            rows.append(f"| {name} | {total} | {total - backward[name]} | {backward[name]} | {moved[name] / 1e9:.2f} |")
        return rows

    lines = ranked("file", lambda place, _: place.line.split(":")[0], None)
    lines += ranked("", lambda *_: "all", None)
    if listed:
        lines += ranked("line", lambda place, _: place.line, listed)
        lines += ranked("operation", lambda _, operation: operation, listed)
    lines += ["\n| wait | at | times |\n|---|---|---:|"]
    lines += [f"| {reason} | {place.line} | {n} |" for (place, reason), n in counts.waits.most_common()]
    return [*lines, ""]


def _verdict(kernels: int, waits: int, mismatches: int) -> str:
    return f"kernels {kernels}, waits {waits}, mismatches {mismatches}"


def stand_in(folder: Path) -> Path:
    """The compiled `fake_device.cpp`. RuntimeError: why there is none."""
    if not sys.platform.startswith("linux"):
        raise RuntimeError("the stand-in for CUDA is loaded as Linux does it")
    if torch.backends.cuda.is_built():
        raise RuntimeError("this PyTorch is built for CUDA and finds no GPU: use it beside one, or a build for CPUs")
    compiler = next(filter(shutil.which, (os.environ.get("CXX", "c++"), "g++", "clang++")), None)
    if compiler is None:
        raise RuntimeError("there is no C++ compiler (what CXX names, c++, g++ or clang++)")
    (libraries, *_), target = library_paths(), folder / "fake_device.so"
    source = Path(__file__).with_name("fake_device.cpp")
    command = [compiler, "-shared", "-fPIC", "-std=c++20", str(source), "-o", str(target)]
    command += [f"-D_GLIBCXX_USE_CXX11_ABI={int(torch.compiled_with_cxx11_abi())}"]
    command += [f"-I{path}" for path in include_paths()]
    command += [f"-L{libraries}", "-lc10", "-ltorch_cpu", f"-Wl,-rpath,{libraries}"]
    made = subprocess.run(command, capture_output=True, text=True)
    if made.returncode:
        errors = [line for line in made.stderr.splitlines() if "error" in line] or made.stderr.splitlines()
        raise RuntimeError(f"fake_device.cpp does not compile here: {errors[0] if errors else compiler}")
    return target


def main(arguments: Arguments) -> None:
    """Each run in a process of its own: the stand-in must be there before torch is."""
    with tempfile.TemporaryDirectory() as folder:
        environment = dict(os.environ)
        if not torch.cuda.is_available():
            try:
                environment["LD_PRELOAD"] = str(stand_in(Path(folder)))
            except RuntimeError as error:
                print(f"nothing is counted: {error}")
                return
        verdicts = []
        for preset, sets in product(arguments.presets, arguments.sets):
            run = replace(arguments, presets=(preset,), sets=(sets,), here=True)
            child = subprocess.run(_command(run), env=environment, stdout=subprocess.PIPE, text=True)
            if child.returncode:
                raise SystemExit(f"{preset}, {sets}: the run failed ({child.returncode})")
            print(child.stdout, flush=True)
            verdicts.append([int(number) for number in re.findall(r"\d+", child.stdout.splitlines()[-1])])
    kernels, waits, mismatches = zip(*verdicts, strict=True)
    print(_verdict(max(kernels), max(waits), sum(mismatches)))


def _command(arguments: Arguments) -> list[str]:
    """The command line that these arguments are."""
    command = [sys.executable, __file__]
    for name, value in asdict(arguments).items():
        flag = f"--{name}"
        if isinstance(value, bool):
            command += [flag] * value
        else:
            command += [flag, *map(str, value)] if isinstance(value, tuple) else [flag, str(value)]
    return command


def run_here(arguments: Arguments) -> None:
    """The only run."""
    warnings.simplefilter("ignore")  # of fake tensors, about themselves
    (preset,), (sets,) = arguments.presets, arguments.sets
    print(count(arguments, preset, sets), flush=True)
    os._exit(0)  # freeing fake tensors can crash a process that has had gradients of them


if __name__ == "__main__":
    given = tyro.cli(Arguments)
    (run_here if given.here else main)(given)
