"""The color tags of a video decide how a player shows it: they come from the source whose color is kept."""

import numpy as np
import pytest
from clips import av, scene

from refinefuse.inference.video.fuse import fuse_video
from refinefuse.inference.video.options import VideoOptions

TAGS = ("color_range", "colorspace", "color_primaries", "color_trc")


def write_tagged(path, **tags):
    """Six frames of H.264 without loss, with color tags as numbers of ITU-T H.273 (range: 1 limited, 2 full)."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=10, options={"qp": "0"})
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)
        for index in range(6):
            pixels = np.stack([scene(index, seed=seed) for seed in (1, 2, 3)], -1)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")))
        file.mux(stream.encode(None))
    return path


def tags_of(path):
    with av.open(str(path)) as file:
        context = file.streams.video[0].codec_context
        return {name: int(getattr(context, name)) for name in TAGS}


@pytest.mark.parametrize(
    "tags",
    [
        {"color_range": 1, "colorspace": 1, "color_primaries": 1, "color_trc": 1},  # BT.709, limited
        {"color_range": 2, "colorspace": 6, "color_primaries": 6, "color_trc": 6},  # BT.601, full
        {"color_range": 1, "colorspace": 9, "color_primaries": 9, "color_trc": 14},  # BT.2020
    ],
)
@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_tags_of_the_color_source_are_kept(fuser, tmp_path, tags, codec):
    a = write_tagged(tmp_path / "a.mkv", color_range=1, colorspace=5, color_primaries=5, color_trc=4)
    b = write_tagged(tmp_path / "b.mkv", **tags)
    assert tags_of(b) == tags
    fuse_video(a, b, tmp_path / "o.mkv", fuser=fuser, options=VideoOptions(codec=codec))
    assert tags_of(tmp_path / "o.mkv") == tags
