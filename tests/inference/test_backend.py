"""Other runtimes compute what torch computes: whole images, regions, any size."""

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from refinefuse.errors import InputError, MissingDependencyError
from refinefuse.export import to_onnx
from refinefuse.inference.backend import BACKENDS, load_backend
from refinefuse.network.config import NetworkConfig
from refinefuse.network.fusion_model import Region
from refinefuse.network.model import RefineFuse

pytest.importorskip("onnx", reason="the extra onnx is not installed")
CONFIG = NetworkConfig(channels=(4, 6, 8), context_size=8, context_channels=8, num_heads=2)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    model = RefineFuse.from_config(CONFIG).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model


@pytest.fixture(scope="module")
def exported(network):
    return to_onnx(network)


@torch.inference_mode()
def max_abs_difference(expected, got):
    """In 8-bit levels, over noise of several sizes."""
    pairs = [torch.rand(2, 1, 1, *size) for size in ((161, 250), (33, 17), (1, 1))]
    outputs = [[net.predict(*pair, net.encode_context(*pair)).fused for pair in pairs] for net in (expected, got)]
    return max(255 * float((x - y).abs().max()) for x, y in zip(*outputs, strict=True))


@pytest.fixture(params=sorted(BACKENDS))
def model(request, exported):
    return load(request.param, exported)


def load(backend, exported):
    pytest.importorskip(backend, reason=f"the backend {backend} is not installed")
    return BACKENDS[backend](exported, threads=1)


def test_every_size_is_that_of_torch(network, model):
    assert max_abs_difference(network, model) < 0.01


def test_a_region_is_that_of_the_whole(model):
    a, b = torch.rand(2, 1, 1, 75, 131)
    context = model.encode_context(a, b)
    whole = model.predict(a, b, context)
    region = model.predict(a, b, context, Region(21, 40, 30, 50))
    torch.testing.assert_close(region.fused, whole.fused[..., 21:51, 40:90], atol=1e-5, rtol=0)
    torch.testing.assert_close(region.weight_map, whole.weight_map[..., 21:51, 40:90], atol=1e-5, rtol=0)


@pytest.mark.parametrize("backend", ["torch", *sorted(BACKENDS)])
def test_threads_that_share_a_model_get_the_images_of_one(network, exported, backend):
    """Every backend, as one `Fuser` in a server has them."""
    model = network if backend == "torch" else load(backend, exported)
    pairs = [torch.rand(2, 1, 1, 96, 128, generator=torch.Generator().manual_seed(seed)) for seed in range(8)]

    @torch.inference_mode()
    def fuse(pair):
        return model.predict(*pair, model.encode_context(*pair)).fused

    alone = [fuse(pair) for pair in pairs]
    with ThreadPoolExecutor(8) as threads:
        for index, fused in enumerate(threads.map(fuse, 3 * pairs)):
            assert torch.equal(fused, alone[index % 8])


def test_the_file_takes_whole_images_of_any_size(network, exported):
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    session = runtime.InferenceSession(exported.SerializeToString(), providers=["CPUExecutionProvider"])
    assert [x.name for x in session.get_inputs()] == ["a", "b"]
    assert [x.name for x in session.get_outputs()] == ["fused", "weight_map"]
    for size in ((1, 1), (15, 40), (64, 48)):
        a, b = torch.rand(2, 1, 1, *size)
        fused, _ = session.run(None, {"a": a.numpy(), "b": b.numpy()})
        with torch.inference_mode():
            torch.testing.assert_close(torch.from_numpy(fused), network(a, b), atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(480, 640), (7, 513), (33, 17), (1, 1)])
def test_a_runtime_that_computes_in_bfloat16_stays_near(size):
    """OpenVINO's own choice on a CPU with bf16: even the grid of the statistics was computed in 8 binary digits."""
    openvino = pytest.importorskip("openvino", reason="the backend openvino is not installed")
    network = RefineFuse.from_pretrained("infrared-visible-small")
    core = openvino.Core()
    if "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this CPU does not compute in bfloat16")
    graph = core.read_model(to_onnx(network).SerializeToString())
    compiled = core.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "bf16"})
    rows, columns = torch.linspace(0, 1, size[0])[:, None], torch.linspace(0, 1, size[1])
    a, b = (rows * columns)[None, None], ((40 * columns).sin() * rows / 2 + 0.5)[None, None]
    with torch.inference_mode():
        difference = 255 * (network(a, b) - torch.from_numpy(compiled({"a": a.numpy(), "b": b.numpy()})["fused"])).abs()
    assert float(difference.mean()) < 0.5


def test_weights_and_files_are_loaded(network, exported, tmp_path):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    (tmp_path / "net.onnx").write_bytes(exported.SerializeToString())
    network.save_weights(tmp_path / "net.safetensors")
    assert isinstance(load_backend(tmp_path / "net.safetensors", "auto"), RefineFuse)
    for source in ("net.onnx", "net.safetensors"):
        assert max_abs_difference(network, load_backend(tmp_path / source, "onnxruntime")) < 0.01
    assert max_abs_difference(network, load_backend(tmp_path / "net.onnx", "auto")) < 0.01
    with pytest.raises(InputError, match="torch cannot use an ONNX file"):
        load_backend(tmp_path / "net.onnx", "torch")
    load_backend(tmp_path / "net.onnx", contrast=network.config.contrast)
    with pytest.raises(InputError, match=r"contrast .*\n.*net.onnx'\n  expected: 0.5\n  got: 0.9"):
        load_backend(tmp_path / "net.onnx", contrast=0.9)


def test_an_unknown_backend_is_refused():
    with pytest.raises(InputError, match="`backend` must be auto, torch"):
        load_backend("infrared-visible", "caffe")


@pytest.mark.parametrize("backend", sorted(BACKENDS))
def test_a_missing_library_is_named_with_the_way_to_get_it(backend, exported, monkeypatch):
    monkeypatch.setitem(sys.modules, backend, None)
    with pytest.raises(
        MissingDependencyError, match=rf"pip install 'refinefuse\[{'onnx' if backend == 'onnxruntime' else backend}"
    ):
        BACKENDS[backend](exported, threads=1)
