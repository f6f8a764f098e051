"""Read ONNX files written by this package; foreign, damaged and malicious files are refused."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from refinefuse.errors import ConfigError, WeightsError
from refinefuse.export import CHECKSUM_KEY, RESULTS, SOURCES, graph_checksum, import_onnx
from refinefuse.network.config import NetworkConfig
from refinefuse.network.pretrained import CONFIG_KEY
from refinefuse.paths import as_path

if TYPE_CHECKING:
    from onnx import ModelProto


def read_onnx(path: Path) -> ModelProto:
    """Read an ONNX file written by this package, for images of any size.

    Raises:
        WeightsError: if it cannot be read, is damaged, contains another network, or was exported only for other
            programs.
        MissingDependencyError: if onnx is not installed.
    """
    onnx = import_onnx("Reading an ONNX file")
    from google.protobuf.message import DecodeError  # installed with onnx

    try:
        model: ModelProto = onnx.load_from_string(as_path(path).read_bytes())
        _check_contents(path, model, onnx)
        onnx.checker.check_model(model)
    except OSError as error:
        raise WeightsError(f"Cannot read the ONNX file '{path}': {error.strerror}.") from error
    except (DecodeError, UnicodeDecodeError, onnx.checker.ValidationError) as error:
        raise WeightsError(
            f"The file '{path}' is damaged or not an ONNX file.\n  {str(error).splitlines()[0]}"
        ) from error
    try:
        config_of(model)
    except (ConfigError, UnicodeDecodeError) as error:
        raise WeightsError(f"The ONNX file '{path}' was not written by `refinefuse export`.\n  {error}") from error
    if _metadata(model).get(CHECKSUM_KEY) != graph_checksum(model):
        raise WeightsError(
            f"The ONNX file '{path}' was changed after `refinefuse export` wrote it: its checksum differs.\n"
            "Export it again, or use it only in other programs."
        )
    _check_form(path, model)
    return model


def config_of(model: ModelProto) -> NetworkConfig:
    """Read the config from the metadata of an exported network.

    Raises:
        ConfigError: if it is missing or invalid.
    """
    found = _metadata(model)
    if CONFIG_KEY not in found:
        raise ConfigError(f"Its metadata has no '{CONFIG_KEY}'.")
    return NetworkConfig.from_json(found[CONFIG_KEY])


def _metadata(model: ModelProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props}


def _check_contents(path: Path, model: ModelProto, onnx: Any) -> None:
    """Refuse loops, external files and plug-ins, which this package never writes but a runtime would execute."""
    graphs = {onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS}
    tensors = [*model.graph.initializer, *(x.t for node in model.graph.node for x in node.attribute if x.HasField("t"))]
    found = {node.op_type for node in model.graph.node if any(x.type in graphs for x in node.attribute)}
    found |= {f"{node.domain}:{node.op_type}" for node in model.graph.node if node.domain not in ("", "ai.onnx")}
    found |= {f"the function {function.name}" for function in model.functions}
    found |= {"data in another file" for x in tensors if x.data_location == onnx.TensorProto.EXTERNAL}
    if found:
        raise WeightsError(
            f"The ONNX file '{path}' has parts that `refinefuse export` does not write.\n  got: "
            + ", ".join(sorted(found)[:5])
        )


def _check_form(path: Path, model: ModelProto) -> None:
    """Refuse a fixed size or batch size, and RGB: the package fuses by regions and adds color itself."""
    shapes = {
        value.name: [side.dim_param or side.dim_value for side in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    if any(shapes.get(name) != ["batch", 1, "height", "width"] for name in SOURCES + RESULTS):
        text = ", ".join(f"{name} {' x '.join(map(str, shape))}" for name, shape in shapes.items())
        raise WeightsError(
            f"The ONNX file '{path}' was exported for other programs: with color, or for a fixed size or batch.\n"
            f"  inputs and outputs: {text}\nExport it without these options to use it here."
        )
