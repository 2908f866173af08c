"""A module of PyTorch -> an ONNX graph: the exporter, quiet, and exact in float64."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
import onnx_ir
import torch
from onnx_ir.passes import Sequential, common
from onnxscript import opset20, optimizer
from torch import Tensor, nn

OPSET = 20  # the first with Gelu
_FOLDED = 1024  # values; larger constants are worked out by the runtime, lest the file carry them


def to_onnx(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    axes: Mapping[str, Mapping[int, torch.export.Dim]],
    outputs: Sequence[str],
) -> onnx.ModelProto:
    """The graph of `module`, called with `inputs` by position, whose named axes may have any length."""
    with _quiet(), torch.no_grad():
        program = torch.export.export(
            module.eval(),
            tuple(inputs.values()),
            dynamic_shapes=tuple(dict(axes[name]) for name in inputs),
            strict=False,
            # that one number of frames divides another is known to us and not provable to it
            prefer_deferred_runtime_asserts_over_guards=True,
        )
        exported = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            optimize=False,
            verbose=False,
            custom_translation_table={torch.ops.aten.scalar_tensor.default: _exact_scalar},
        )
        assert exported is not None
        model = onnx_ir.serde.serialize_model(_tidied(exported.model))
        _name_axes(model.graph, axes)
        return model


def _tidied(model: onnx_ir.Model) -> onnx_ir.Model:
    """The graph without what can be worked out beforehand, said twice, or is of no use to who runs it.

    Not the exporter's own optimisation: one of its rules takes 1e-8 for 0 and drops its addition, which under a
    logarithm changes everything.
    """
    common.InlinePass()(model)
    optimizer.fold_constants(model, input_size_limit=_FOLDED, output_size_limit=_FOLDED)
    Sequential(
        common.RemoveUnusedNodesPass(),
        common.RemoveUnusedOpsetsPass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.DeduplicateInitializersPass(),
        common.CommonSubexpressionEliminationPass(),
        common.NameFixPass(),
    )(model)
    for node in model.graph:  # where each came from in our sources
        node.metadata_props.clear()
        node.doc_string = None
    return model


def _name_axes(graph: onnx.GraphProto, axes: Mapping[str, Mapping[int, torch.export.Dim]]) -> None:
    """Our names for the lengths of inputs and outputs, in place of the exporter's numbered symbols."""
    names: dict[str, str] = {}
    for value in graph.input:
        for axis, dim in axes[value.name].items():
            names[value.type.tensor_type.shape.dim[axis].dim_param] = dim.__name__
    for value in [*graph.input, *graph.output]:
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param:
                size.dim_param = re.sub(r"\w+", lambda word: names.get(word[0], word[0]), size.dim_param)
    del graph.value_info[:]  # shapes of all that lies between: a runtime infers them


def _exact_scalar(s: int | float, dtype: int, layout: str = "", device: str = "", pin_memory: bool = False) -> Any:
    """A number in its own dtype; the exporter's own way rounds it to float32 first, and float64 is lost."""
    kind = onnx_ir.DataType(dtype)
    return opset20.Constant(value=onnx.numpy_helper.from_array(np.array(s, dtype=kind.numpy())))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's notes about itself and other packages."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
