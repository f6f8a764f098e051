"""Fuse a pair with OpenVINO alone, at its defaults: bfloat16 where the processor has it.

refinefuse export infrared-visible-small -o net.onnx --color
python fuse_openvino.py net.onnx infrared.png visible.png fused.png
"""

import sys

import cv2
import numpy as np
import openvino

network, infrared, visible, output = sys.argv[1:]
a = cv2.imread(infrared, cv2.IMREAD_GRAYSCALE)[None, None].astype(np.float32) / 255
b = cv2.imread(visible)[..., ::-1].transpose(2, 0, 1)[None].astype(np.float32) / 255  # RGB
core = openvino.Core()
model = core.read_model(network)
model.reshape({"a": list(a.shape), "b": list(b.shape)})  # one size computes faster than any size
compiled = core.compile_model(model, "CPU")  # {"INFERENCE_PRECISION_HINT": "f32"} for every digit
fused = compiled({"a": a, "b": b})["fused"]
cv2.imwrite(output, np.floor(fused[0].transpose(1, 2, 0)[..., ::-1] * 255 + 0.5).astype(np.uint8))
print(f"{output}: computed in {compiled.get_property('INFERENCE_PRECISION_HINT').to_string()}")
