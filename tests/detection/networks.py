"""Small detectors that are made on the spot: each finds bright blocks of 8 x 8 pixels of what it sees."""

import numpy as np
import pytest

SIDE = 64


def write_yolox(path, classes=80, side=SIDE, decoded=False, rows=None, outputs=1):
    """A YOLOX whose cells of stride 8 are as sure as they are bright: `car`s of 16 x 8 pixels, in the cell's middle."""
    onnx = pytest.importorskip("onnx", reason="needs onnx, to make a detector")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    cells = [(side // s) ** 2 for s in (8, 16, 32)]
    total = rows or sum(cells)
    rest = np.zeros((1, total, 5 + classes), np.float32)
    stride = np.repeat([8, 16, 32], cells)[:total]
    rest[0, :, 0:2] = 0.5
    rest[0, :, 2] = np.log(2)
    rest[0, :, 5 + min(2, classes - 1)] = 1
    if decoded:
        grid = np.concatenate(
            [np.stack(np.mgrid[: side // s, : side // s][::-1], -1).reshape(-1, 2) for s in (8, 16, 32)]
        )
        rest[0, :, :2] = (grid + 0.5) * stride[:, None]
        rest[0, :, 2:4] = np.exp(rest[0, :, 2:4]) * stride[:, None]
    least = np.zeros((1, 1, 5 + classes), np.float32)
    least[..., 4] = 1 / 255
    tensors = {
        "rest": rest, "least": least, "shape": np.array([1, cells[0], 1]), "axes": np.array([1]),
        "zeros": np.zeros((1, total - cells[0], 1), np.float32),
    }  # fmt: skip
    nodes = [
        helper.make_node("AveragePool", ["images"], ["pooled"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("ReduceMean", ["pooled", "axes"], ["mean"], keepdims=1),
        helper.make_node("Reshape", ["mean", "shape"], ["bright"]),
        helper.make_node("Concat", ["bright", "zeros"], ["all"], axis=1),
        helper.make_node("Mul", ["all", "least"], ["sure"]),
        helper.make_node("Add", ["sure", "rest"], ["output"]),
    ]
    made = [helper.make_tensor_value_info("output", 1, [1, total, 5 + classes])]
    if outputs == 2:
        made.append(helper.make_tensor_value_info("mean", 1, None))
    graph = helper.make_graph(
        nodes,
        "yolox",
        [helper.make_tensor_value_info("images", 1, [1, 3, side, side])],
        made,
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


def bright_blocks(height, width, *corners):
    """A dark RGB image with bright blocks of 8 x 8 pixels at (left, top)."""
    image = np.zeros((height, width, 3), np.uint8)
    for left, top in corners:
        image[top : top + 8, left : left + 8] = 255
    return image


def write_transformer(folder, kind="RT-DETR", side=64):
    """A tiny RT-DETR or D-FINE with random weights."""
    transformers = pytest.importorskip("transformers", reason="needs the extra `detection`")
    import torch

    torch.manual_seed(0)
    shape = {
        "encoder_in_channels": [8, 16, 16], "encoder_hidden_dim": 16, "encoder_layers": 1, "encoder_ffn_dim": 16,
        "encoder_attention_heads": 2, "d_model": 16, "decoder_in_channels": [16, 16, 16], "decoder_ffn_dim": 16,
        "decoder_layers": 2, "decoder_attention_heads": 2, "num_queries": 12, "num_denoising": 4,
        "num_feature_levels": 3, "feat_strides": [8, 16, 32], "id2label": {0: "person", 1: "car"}, "eval_size": None,
    }  # fmt: skip
    stages = {"hidden_sizes": [8, 8, 16, 16], "depths": [1] * 4, "out_features": ["stage2", "stage3", "stage4"]}
    if kind == "RT-DETR":
        backbone = transformers.RTDetrResNetConfig(embedding_size=8, layer_type="basic", **stages)
        model = transformers.RTDetrForObjectDetection(transformers.RTDetrConfig(backbone_config=backbone, **shape))
    else:
        backbone = transformers.HGNetV2Config(
            stem_channels=[3, 8, 8], stage_in_channels=[8, 8, 8, 16], stage_mid_channels=[8] * 4,
            stage_out_channels=[8, 8, 16, 16], stage_num_blocks=[1] * 4, stage_numb_of_layers=[1] * 4,
            stage_downsample=[False, True, True, True], stage_light_block=[False, False, True, True],
            stage_kernel_size=[3] * 4, embedding_size=8, **stages,
        )  # fmt: skip
        config = transformers.DFineConfig(backbone_config=backbone, decoder_n_points=[2, 2, 2], **shape)
        model = transformers.DFineForObjectDetection(config)
    model.save_pretrained(folder)
    transformers.RTDetrImageProcessor(size={"height": side, "width": side}).save_pretrained(folder)
    return folder
