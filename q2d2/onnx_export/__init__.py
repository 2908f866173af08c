"""A codec as two ONNX graphs and a description: for programs in other languages, browsers and phones.

`export` writes encoder.onnx, decoder.onnx and q2d2.json, and compares them with the codec before they get their names.
Needs onnx and onnxscript, and onnxruntime for the comparison. Knows nothing of files of audio and command lines.
"""

from q2d2.onnx_export.checking import Agreement
from q2d2.onnx_export.writing import Exported, ExportError, export

__all__ = ["Agreement", "ExportError", "Exported", "export"]
