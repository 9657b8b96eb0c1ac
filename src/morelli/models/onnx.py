"""ONNX: a module as a program that other software runs, for rows in any number."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from morelli.errors import MorelliError, first_line


def onnx_program(
    module: nn.Module, inputs: Sequence[Tensor], *, names: Sequence[str], output: str, variadic: bool = False
) -> torch.onnx.ONNXProgram:
    """Translate a module in evaluation mode.

    Args:
        inputs: of at least two rows each, which the program then takes any number of.
        names: of the inputs.
        output: name of what comes out.
        variadic: the module takes ``*inputs``.

    Raises:
        MorelliError: PyTorch cannot translate it.
    """
    rows: list[dict[int, Any]] = [{0: "rows"}, *({0: torch.export.Dim.DYNAMIC} for _ in inputs[1:])]
    shapes = (tuple(rows),) if variadic else tuple(rows)
    two = tuple(batch[:2] for batch in inputs)
    try:
        with torch.no_grad():
            program = torch.onnx.export(
                module, two, dynamo=True, verbose=False, input_names=names, output_names=[output], dynamic_shapes=shapes
            )
    except torch.onnx.OnnxExporterError as error:
        raise MorelliError(f"PyTorch cannot turn this network into ONNX: {first_line(error)}") from error
    assert program is not None
    return program
