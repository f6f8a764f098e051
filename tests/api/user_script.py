"""A user's script that touches the whole public interface. It is type-checked, not run."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import refinefuse as rf

infrared, visible = rf.read_image("ir.png"), rf.read_image("vi.png")
counts: NDArray[np.generic] = rf.read_counts("counts.tif")
rf.write_image("fused.png", rf.fuse(infrared, visible), overwrite=True)

fuser = rf.Fuser("infrared-visible", color="b", device="cpu", precision="float32", backend="torch", tile=512)
image, weight_map = fuser.fuse(infrared, visible, return_weight_map=True)
print(image.dtype, weight_map.max(), fuser.weight_map(infrared, visible).shape, fuser("ir.png", "vi.png").shape)

a, b = torch.rand(2, 4, 1, 480, 640)
fused: torch.Tensor = rf.fuse(a, b, weights=rf.load_model(rf.list_models()[0], device="cpu"))
scores: dict[str, torch.Tensor] = rf.metrics.evaluate(fused * 255, a * 255, b * 255, metrics=["VIF", "edge_recall"])
print(scores["VIF"].mean(), rf.metrics.vif(fused * 255, a * 255, b * 255), rf.metrics.METRICS["VIF"].ideal)
vif = rf.metrics.torchmetrics.Vif(convention="cddfuse")
vif.update(fused * 255, a * 255, b * 255)

alignment: rf.Alignment = rf.align(infrared, visible, transform_type="similarity")
if not alignment.is_reliable:
    print(alignment.rejection_reasons)
options = rf.AlignmentOptions(transform=alignment.transform, strict=True)
thermal = rf.ThermalOptions(range=rf.IntensityRange.parse("percentile:1,99"), polarity="white-hot")

folder: rf.FolderResult = rf.fuse_folder("ir", "vi", "out", fuser=fuser, thermal=thermal, alignment=options)
video: rf.VideoResult = rf.fuse_video("ir.mp4", "vi.mp4", "out.mp4", options=rf.VideoOptions(frame_stride=2))
volume: rf.VolumeResult = rf.fuse_volume("ct.nii.gz", "mri.nii.gz", "out.nii.gz", options=rf.VolumeOptions())
print(folder.failed, folder.warnings, video, volume)

table: rf.ScoreTable = rf.score("out", "ir", "vi", metrics=["common"], convention="cddfuse255")
Path("scores.csv").write_text(table.to_csv())
report: rf.ExportReport = rf.export_onnx("infrared-visible-small", "net.onnx", opset=18, overwrite=True)
weights: Path = rf.train("infrared-visible-small", "runs/mine", data_root="data", num_workers=2)
try:
    rf.RefineFuse.from_pretrained(weights).push_to_hub("me/mine", license="MIT")
except rf.RefineFuseError as error:
    print(error, report.checks)


def fuse_quietly(
    a: rf.ImageInput, b: rf.ImageInput, color: rf.Color, precision: rf.Precision, backend: rf.Backend, tile: rf.TileSize
) -> rf.FusionResult[torch.Tensor]:
    """Options are typed, and so are the results."""
    warnings: tuple[rf.PairWarning, ...] = rf.inspect_pair(a, b)
    print([warning.message for warning in warnings], rf.__version__)
    quiet = rf.Fuser(color=color, precision=precision, backend=backend, tile=tile)
    return quiet.fuse(torch.rand(1, 1, 64, 64), torch.rand(1, 3, 64, 64), return_weight_map=True)


kind: rf.TransformType = "homography"
metric: rf.SimilarityMetric = "edges"
transform: rf.Transform = rf.align(infrared, visible, transform_type=kind, metric=metric).transform
rig: rf.Rig = rf.calibrate_rig([(infrared, visible)], distance=4.0)
moved: rf.RigCheck = rf.check_rig(rf.load_rig("rig.json"), [(infrared, visible)])
registration: rf.VolumeRegistration = rf.align_volume("ct.nii.gz", "mri.nii.gz")
print(transform.describe(), rig.matrix, moved.has_moved, registration.is_reliable)

network = rf.RefineFuse.from_config(rf.NetworkConfig(channels=(16, 24)))
loss: torch.Tensor = rf.losses.ssim_loss(network(a, b) * 255, a * 255, b * 255)


def train_all(recipes: list[rf.Recipe]) -> list[Path]:
    """Train one after the other."""
    try:
        return [rf.train(recipe, f"runs/{recipe.name}") for recipe in recipes]
    except rf.errors.TrainingError as error:
        print(error, loss.item())
        return []
