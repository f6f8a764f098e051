"""Fuse a pair with onnxruntime alone: no torch and no refinefuse.

refinefuse export infrared-visible-small -o net.onnx --color
python fuse_onnxruntime.py net.onnx infrared.png visible.png fused.png
"""

import sys

import cv2
import numpy as np
import onnxruntime

network, infrared, visible, output = sys.argv[1:]
session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
a = cv2.imread(infrared, cv2.IMREAD_GRAYSCALE)[None, None].astype(np.float32) / 255
b = cv2.imread(visible)[..., ::-1].transpose(2, 0, 1)[None].astype(np.float32) / 255  # RGB
fused, weight_map = session.run(["fused", "weight_map"], {"a": a, "b": b})
cv2.imwrite(output, np.floor(fused[0].transpose(1, 2, 0)[..., ::-1] * 255 + 0.5).astype(np.uint8))
print(f"{output}: {100 * weight_map.mean():.0f} % from {infrared} on average")
