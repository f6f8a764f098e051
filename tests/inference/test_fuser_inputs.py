"""Everything that `Fuser` and `fuse` take, and what they leave as it was."""

import inspect

import numpy as np
import pytest
import torch

import refinefuse
from refinefuse import Fuser, NetworkConfig, RefineFuse
from refinefuse.errors import InputError
from refinefuse.inference.fuser import FuserOptions

CONFIG = NetworkConfig(channels=(4, 6), num_heads=2, context_size=8, context_channels=4)


@pytest.fixture(scope="module")
def fuser():
    return Fuser(device="cpu")


def network(seed=0):
    torch.manual_seed(seed)
    model = RefineFuse.from_config(CONFIG)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model


def image(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def test_fuse_and_fuser_take_the_same_options():
    weights, *options = inspect.signature(Fuser).parameters
    assert weights in inspect.signature(refinefuse.fuse).parameters
    assert options == [*FuserOptions.__annotations__]


def test_one_channel_is_gray_and_comes_back_as_one_channel(fuser):
    a, b = image(20, 24, 1), image(20, 24, 1, seed=1)
    fused = fuser(a, b)
    assert fused.shape == (20, 24, 1)
    assert np.array_equal(fused[..., 0], fuser(a[..., 0], b[..., 0]))
    assert fuser(a, image(20, 24, 3)).shape == (20, 24, 3)


def test_pil_images_come_back_as_pil_images(fuser):
    Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    gray, color = image(20, 24), image(20, 24, 3, seed=1)
    fused = fuser(Image.fromarray(gray), Image.fromarray(color))
    assert (fused.mode, fused.size) == ("RGB", (24, 20))
    assert np.array_equal(np.asarray(fused), fuser(gray, color))
    result = fuser.fuse(Image.fromarray(gray), Image.fromarray(color), return_weight_map=True)
    expected = np.floor(fuser.weight_map(gray, color) * 255 + 0.5)
    assert result.weight_map.mode == "L"
    assert np.array_equal(np.asarray(result.weight_map), expected)
    deep = fuser(Image.fromarray(gray.astype(np.uint16) * 257), Image.fromarray(gray))
    assert np.asarray(deep).dtype == np.uint16
    palette = Image.fromarray(color).quantize(8)
    expected = fuser(gray, np.asarray(palette.convert("RGB")))
    assert np.array_equal(np.asarray(fuser(Image.fromarray(gray), palette)), expected)
    assert isinstance(fuser(Image.fromarray(gray), color), np.ndarray)
    with pytest.raises(InputError, match=r"got: CMYK(.|\n)*convert"):
        fuser(Image.fromarray(color).convert("CMYK"), color)


@pytest.mark.parametrize("rank", [2, 3, 4])
def test_weight_maps_of_tensors_have_their_rank(fuser, rank):
    a, b = torch.rand(2, 1, 1, 20, 24, generator=torch.Generator().manual_seed(0))
    a, b = (x if rank == 4 else x[0] if rank == 3 else x[0, 0] for x in (a, b))
    weight_map = fuser.weight_map(a, b)
    assert weight_map.shape == a.shape
    assert torch.equal(weight_map, fuser.fuse(a, b, return_weight_map=True).weight_map)


def test_lists_are_refused_with_what_to_do(fuser):
    with pytest.raises(InputError, match=r"got: list\n.*stack them"):
        fuser([image(8, 8)], [image(8, 8)])


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_callers_network_stays_as_it_was(training, dtype):
    model = network().to(dtype).train(training)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    fused = Fuser(model)(image(20, 24), image(20, 24, seed=1))
    assert fused.shape == (20, 24)
    assert model.training is training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}


def test_a_network_that_can_be_used_as_it_is_is_not_copied():
    model = network().eval()
    assert Fuser(model).model is model
    assert Fuser(model.train()).model is not model


def test_fuse_takes_a_network_and_its_new_weights():
    a, b, model = image(20, 24), image(20, 24, seed=1), network().eval()
    before = refinefuse.fuse(a, b, weights=model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3)
    assert not np.array_equal(refinefuse.fuse(a, b, weights=model), before)


def test_a_weights_file_that_changes_is_loaded_again(tmp_path):
    a, b, path = image(20, 24), image(20, 24, seed=1), tmp_path / "net.safetensors"
    results = []
    for seed in (0, 1):
        network(seed).save_weights(path)
        results.append(refinefuse.fuse(a, b, weights=path))
        assert np.array_equal(results[-1], Fuser(path)(a, b))
    assert not np.array_equal(*results)


@pytest.mark.parametrize("weights", ["infrared-visible", network()], ids=["name", "network"])
def test_backends_are_checked_whatever_the_weights(weights):
    a = image(8, 8)
    for fuse in (
        lambda **options: Fuser(weights, **options),
        lambda **options: refinefuse.fuse(a, a, weights=weights, **options),
    ):
        with pytest.raises(InputError, match="`backend` must be auto, torch"):
            fuse(backend="caffe")
        with pytest.raises(InputError, match="runs on the CPU"):
            fuse(backend="onnxruntime", device="cuda")
        with pytest.raises(InputError, match="uses the precision of the ONNX file"):
            fuse(backend="openvino", precision="bfloat16")


def test_a_network_on_another_runtime():
    pytest.importorskip("onnx", reason="the extra onnx is not installed")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    a, b, model = image(20, 24), image(20, 24, seed=1), network()
    fused = Fuser(model, backend="onnxruntime")(a, b).astype(int)
    assert np.abs(fused - Fuser(model)(a, b)).max() <= 1
    assert model.training


def test_batches_that_go_together_are_those_that_go_one_by_one(monkeypatch):
    """What other devices than the CPU do, computed on the CPU."""
    model = network().eval()
    fuser = Fuser(model)
    a, b = torch.rand(2, 5, 1, 20, 24, generator=torch.Generator().manual_seed(0))
    alone = fuser.fuse_lumas([a, b])
    sizes, predict = [], model.predict

    def counting(x, *rest):
        sizes.append(len(x))
        return predict(x, *rest)

    monkeypatch.setattr(model, "predict", counting)
    monkeypatch.setattr("refinefuse.inference.lumas.batch_size", lambda *_: 2)
    fuser.device = torch.device("meta")
    monkeypatch.setattr(Fuser, "encode_context", lambda self, x, y: model.encode_context(x, y))
    monkeypatch.setattr(Fuser, "predict_region", lambda self, x, y, context, region=None: model.predict(x, y, context))
    with torch.inference_mode():
        together = fuser.fuse_lumas([a, b])
    assert sizes == [2, 2, 1]
    torch.testing.assert_close(together.fused, alone.fused, atol=1e-5, rtol=0)


def test_models_are_listed():
    assert "infrared-visible" in refinefuse.list_models()


def test_an_illegal_access_is_not_called_out_of_memory(fuser, monkeypatch):
    def failing(*_):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(type(fuser.model), "rules", failing)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        fuser(image(8, 8), image(8, 8))


def test_arrays_and_tensors_without_values_are_refused(fuser):
    masked = np.ma.masked_less(image(20, 24), 100)
    with pytest.raises(InputError, match="masked array"):
        fuser(masked, image(20, 24))
    np.testing.assert_array_equal(fuser(np.ma.array(image(20, 24)), image(20, 24)), fuser(image(20, 24), image(20, 24)))
    sparse = torch.eye(24).to_sparse()
    with pytest.raises(InputError, match="dense"):
        fuser(sparse, torch.rand(24, 24))
    with pytest.raises(InputError, match="meta"):
        fuser(torch.rand(24, 24, device="meta"), torch.rand(24, 24))


def test_a_fuser_says_what_it_is(fuser):
    assert repr(fuser) == "Fuser('infrared-visible', color='b', device='cpu', contrast=0.75)"


def test_the_path_of_a_volume_is_answered_with_what_fuses_it(tmp_path):
    (tmp_path / "ct.nii.gz").write_bytes(b"\x1f\x8b\x08\0")
    with pytest.raises(InputError, match="`fuse_volume`"):
        refinefuse.fuse(tmp_path / "ct.nii.gz", tmp_path / "ct.nii.gz")
