"""Fuse a pair with OpenCV alone. Its DNN module takes files of one size.

refinefuse export infrared-visible-small -o net.onnx --color --size 480x640
python fuse_opencv.py net.onnx infrared.png visible.png fused.png
"""

import sys

import cv2
import numpy as np

network, infrared, visible, output = sys.argv[1:]
net = cv2.dnn.readNetFromONNX(network)
net.setInput(cv2.dnn.blobFromImage(cv2.imread(infrared, cv2.IMREAD_GRAYSCALE), 1 / 255), "a")
net.setInput(cv2.dnn.blobFromImage(cv2.imread(visible), 1 / 255, swapRB=True), "b")
fused = net.forward("fused")
cv2.imwrite(output, np.floor(fused[0].transpose(1, 2, 0)[..., ::-1] * 255 + 0.5).astype(np.uint8))
print(f"{output}: by OpenCV {cv2.__version__}")
