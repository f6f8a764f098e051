"""What a processor computes by other means than torch is what torch computes."""

from dataclasses import replace

import pytest
import torch

from refinefuse.inference.backend import load_backend
from refinefuse.inference.cpu import CpuModel
from refinefuse.network.config import NetworkConfig
from refinefuse.network.model import RefineFuse

CONFIG = NetworkConfig(channels=(4, 6, 8), context_size=8, context_channels=8, num_heads=2, contrast=0.6)
SIZES = ((64, 96), (161, 250), (33, 17), (1, 1))


def network(**changes):
    torch.manual_seed(0)
    model = RefineFuse.from_config(replace(CONFIG, **changes)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model


@torch.inference_mode()
def assert_close(expected, got, batch=1):
    for size in SIZES:
        a, b = torch.rand(2, batch, 1, *size, generator=torch.Generator().manual_seed(1))
        outputs = [model.predict(a, b, model.encode_context(a, b)) for model in (expected, got)]
        for x, y in zip(*outputs, strict=True):
            torch.testing.assert_close(x, y, atol=2e-5, rtol=0)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"symmetric": True},
        {"patch_size": 1},
        {"patch_size": 2, "channels": (4, 8)},
        {"channels": (8,)},
        {"patch_size": 1, "channels": (8,)},
    ],
)
def test_the_network_is_that_of_torch(changes):
    model = network(**changes)
    assert_close(model, CpuModel(model))
    assert_close(model, CpuModel(model), batch=2)


def test_onnxruntime_computes_groups_of_channels_as_they_are():
    """Its graph has none, and other enlargements than an exported file."""
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnx", reason="the extra onnx is not installed")
    model = network()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert_close(model, load_backend(model, "onnxruntime"))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert model.encoders[0].block.conv1.groups == 2


def test_more_than_ten_rules_keep_their_order():
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnx", reason="the extra onnx is not installed")
    model = network(channels=(4,) * 6, num_heads=2, symmetric=True, patch_size=1)
    assert_close(model, load_backend(model, "onnxruntime"))


def test_a_file_of_an_earlier_version_is_computed_as_a_whole():
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnx", reason="the extra onnx is not installed")
    from refinefuse.export import to_onnx
    from refinefuse.inference.backend import OnnxRuntimeModel

    model = network()
    graph = to_onnx(model)
    for info in [info for info in graph.graph.value_info if info.name.startswith(("rules_", "padded_"))]:
        graph.graph.value_info.remove(info)
    old = OnnxRuntimeModel(graph, threads=1)
    assert (old.inputs[0], old.results[0]) == ("a", "fused")
    assert_close(model, old)


@torch.inference_mode()
def test_a_region_is_fused_from_its_pixels_and_the_statistics_of_the_pair():
    """The graph that the browser page runs."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnx", reason="the extra onnx is not installed")
    from refinefuse.export import region_graph, to_onnx
    from refinefuse.network.context import grid_statistics

    model = network()
    a, b = torch.rand(2, 1, 1, 64, 96, generator=torch.Generator().manual_seed(1))
    region = slice(16, 48)
    session = onnxruntime.InferenceSession(region_graph(to_onnx(model)).SerializeToString())
    feed = {"a": a[..., region, :], "b": b[..., region, :]}
    feed |= {f"stats_{name}": grid_statistics(x, CONFIG.context_size) for name, x in (("a", a), ("b", b))}
    fused, weight_map = session.run(["fused", "weight_map"], {name: x.numpy() for name, x in feed.items()})
    expected = model.predict(feed["a"], feed["b"], model.encode_context(a, b))
    torch.testing.assert_close(expected.fused, torch.from_numpy(fused), atol=2e-5, rtol=0)
    torch.testing.assert_close(expected.weight_map, torch.from_numpy(weight_map), atol=2e-5, rtol=0)
