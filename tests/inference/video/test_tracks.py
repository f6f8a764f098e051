"""Sound, subtitles, chapters and metadata of the sources, in every container: there, in step, and named."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from clips import TELEMETRY, av, beep, onset, read_video, scene, subtitles_of, telemetry_of, times, write_video

from refinefuse.inference.video.fuse import fuse_video
from refinefuse.inference.video.options import VideoOptions

FRAMES = [scene(index) for index in range(20)]  # two seconds
SUFFIXES = (".mp4", ".mov", ".mkv", ".avi")


@pytest.fixture(scope="module")
def a(tmp_path_factory):
    """The silent source."""
    return write_video(tmp_path_factory.mktemp("a") / "a.mkv", FRAMES)


def write(path, **options):
    return write_video(path, FRAMES, codec="libx264", pixel_format="yuv420p", **options)


def fuse(fuser, a, b, output, **options):
    return fuse_video(a, b, output, fuser=fuser, options=VideoOptions(**options))


def said(outcome, *words):
    return [warning for warning in outcome.warnings if all(word in warning.message for word in words)]


def streams_of(path, kind):
    with av.open(str(path)) as file:
        return [
            (one.codec_context.codec.canonical_name, one.metadata.get("language"), one.disposition)
            for one in file.streams
            if one.type == kind
        ]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("name", "codec", "start"),
    [("b.mp4", "aac", 0), ("b.mp4", "aac", 0.4), ("b.mkv", "libopus", 0), ("b.mkv", "flac", 0.4), ("b.mov", "aac", 0)],
)
def test_image_and_sound_stay_in_step(fuser, a, tmp_path, name, codec, start, suffix):
    b = write(tmp_path / name, sounds=[(codec, beep(1.5, 0.5), start, {})])
    output = tmp_path / f"o{suffix}"
    fuse(fuser, a, b, output)
    found, wanted = onset(output), onset(b)
    assert found[0] == pytest.approx(wanted[0], abs=0.004)
    assert wanted[0] == pytest.approx(0.5 + start, abs=0.025)  # Matroska cannot say that AAC begins 64 ms early
    assert len(read_video(output)) == 20


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_sound_that_begins_before_the_image(fuser, a, tmp_path, suffix):
    b = write(tmp_path / "b.mkv", start=400, sounds=[("flac", beep(2.4, 0.7), 0, {})])
    output = tmp_path / f"o{suffix}"
    fuse(fuser, a, b, output)
    assert onset(output)[0] == pytest.approx(0.3, abs=0.004)
    assert onset(output)[1] == pytest.approx(2 if suffix == ".avi" else 2.4, abs=0.07)


@pytest.mark.parametrize(
    ("name", "codec", "suffix", "expected"),
    [
        ("b.mkv", "libopus", ".avi", "pcm_s16le"),
        ("b.mkv", "libopus", ".mov", "aac"),
        ("b.mkv", "flac", ".mov", "alac"),
        ("b.mkv", "libopus", ".mp4", "opus"),
        ("b.mkv", "flac", ".mkv", "flac"),
        ("b.mp4", "aac", ".mkv", "aac"),
    ],
)
def test_sound_that_a_container_cannot_hold_is_encoded_anew_and_that_is_said(
    fuser, a, tmp_path, name, codec, suffix, expected
):
    b = write(tmp_path / name, sounds=[(codec, beep(2, 0.5), 0, {})])
    outcome = fuse(fuser, a, b, tmp_path / f"o{suffix}")
    assert [one[0] for one in streams_of(tmp_path / f"o{suffix}", "audio")] == [expected]
    assert bool(said(outcome, "audio track", f"encoded as {expected}")) == (expected not in codec)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_sound_lasts_to_the_end_of_the_last_frame(fuser, a, tmp_path, suffix):
    b = write(tmp_path / "b.mp4", sounds=[("aac", beep(2, 0.5), 0, {})])
    output = tmp_path / f"o{suffix}"
    fuse(fuser, a, b, output, frame_stride=10)
    assert times(read_video(output))[-1] - times(read_video(output))[0] == pytest.approx(1, abs=0.01)
    assert onset(output)[1] == pytest.approx(2, abs=0.13)  # a packet of AAC on either side


def test_sound_ends_with_the_image_if_the_other_source_is_shorter(fuser, tmp_path):
    short = write_video(tmp_path / "a.mkv", FRAMES[:10])
    b = write(tmp_path / "b.mp4", sounds=[("aac", beep(2, 0.5), 0, {})])
    outcome = fuse(fuser, short, b, tmp_path / "o.mp4")
    assert outcome.cut
    assert onset(tmp_path / "o.mp4")[1] == pytest.approx(1, abs=0.07)


def test_audio_of_a_if_b_has_none(fuser, a, tmp_path):
    loud = write(tmp_path / "loud.mp4", start=300, sounds=[("aac", beep(2, 0.8), 0.3, {})])
    late = write(tmp_path / "late.mkv", start=5000)
    fuse(fuser, loud, late, tmp_path / "o.mp4")
    assert onset(tmp_path / "o.mp4")[0] == pytest.approx(onset(loud)[0], abs=0.004)


def test_languages_titles_and_default_flags(fuser, a, tmp_path):
    marks = [{"language": "eng", "title": "Talk"}, {"language": "deu", "title": "Wind"}]
    b = write(tmp_path / "b.mkv", sounds=[("aac", beep(2, 0.5), 0, one) for one in marks])
    for suffix in (".mkv", ".mp4", ".mov"):
        outcome = fuse(fuser, a, b, tmp_path / f"o{suffix}")
        found = streams_of(tmp_path / f"o{suffix}", "audio")
        assert [one[1] for one in found] == ["eng", "ger" if suffix == ".mov" else "deu"]
        assert not said(outcome, "language")
    with av.open(str(tmp_path / "o.mkv")) as kept, av.open(str(b)) as source:
        assert [one.metadata["title"] for one in kept.streams.audio] == ["Talk", "Wind"]
        assert [one.disposition for one in kept.streams] == [one.disposition for one in source.streams]
    assert said(fuse(fuser, a, b, tmp_path / "o.avi"), ".avi", "language eng, language deu")


@pytest.mark.parametrize(("name", "codec"), [("b.mp4", "mov_text"), ("b.mkv", "subrip")])
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_subtitles_are_kept(fuser, a, tmp_path, name, codec, suffix):
    b = write(tmp_path / name, subtitles=[(codec, {"language": "eng"})])
    fuse(fuser, a, b, tmp_path / f"o{suffix}")
    found = subtitles_of(tmp_path / f"o{suffix}")
    assert [time for time, _ in found] == [0.2, 0.6]
    assert [text.rsplit(",", 1)[-1] for _, text in found] == ["one", "two"]


def test_subtitles_that_are_lost_are_named(fuser, a, tmp_path):
    b = write(tmp_path / "b.mkv", subtitles=[("subrip", {})])
    assert said(fuse(fuser, a, b, tmp_path / "o.avi"), "subtitle track", "subrip", "lost", "avi")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(("name", "codec"), [("b.mp4", "bin_data"), ("b.ts", "klv"), ("b.ts", "timed_id3")])
def test_telemetry_is_kept_or_its_loss_is_said(fuser, a, tmp_path, name, codec, suffix):
    b = write(tmp_path / name, telemetry=codec)
    assert [data for _, data in telemetry_of(b)] == list(TELEMETRY)
    outcome = fuse(fuser, a, b, tmp_path / f"o{suffix}")
    kept = telemetry_of(tmp_path / f"o{suffix}")
    assert kept in ([], [(0.0, TELEMETRY[0]), (0.4, TELEMETRY[1])])
    assert bool(said(outcome, "telemetry track", codec, "lost")) == (not kept)
    assert kept or suffix != Path(name).suffix


def test_chapters_move_with_the_video(fuser, a, tmp_path):
    second = Fraction(1, 1000)
    chapters = [
        {"id": 1, "start": 0, "end": 1000, "time_base": second, "metadata": {"title": "Gate"}},
        {"id": 2, "start": 1000, "end": 2000, "time_base": second, "metadata": {"title": "Yard"}},
    ]
    b = write(tmp_path / "b.mkv", chapters=chapters)
    for suffix in (".mkv", ".mp4"):
        fuse(fuser, a, b, tmp_path / f"o{suffix}")
        with av.open(str(tmp_path / f"o{suffix}")) as file:
            found = [(one["metadata"]["title"], float(one["start"] * one["time_base"])) for one in file.chapters()]
        assert found == [("Gate", 0), ("Yard", 1)]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_video_that_starts_late_starts_at_0(fuser, a, tmp_path, suffix):
    b = write(tmp_path / "b.ts", start=100_000, sounds=[("aac", beep(2, 0.5), 100, {})])
    output = tmp_path / f"o{suffix}"
    fuse(fuser, a, b, output)
    with av.open(str(output)) as file:
        assert file.start_time == 0
        assert file.duration == pytest.approx(2e6, abs=130_000)
    assert onset(output)[0] == pytest.approx(onset(b)[0], abs=0.004)


def test_creation_time_location_and_title(fuser, a, tmp_path):
    tags = {"creation_time": "2024-05-06T07:08:09.000000Z", "location": "+47.1234+008.5678/", "title": "Ride"}
    b = write(tmp_path / "b.mp4", metadata=tags)
    for suffix in (".mp4", ".mov", ".mkv"):
        outcome = fuse(fuser, a, b, tmp_path / f"o{suffix}")
        with av.open(str(tmp_path / f"o{suffix}")) as file:
            found = {key.lower(): value for key, value in file.metadata.items()}
        assert tags.items() <= found.items()
        assert not said(outcome, "cannot store")
    assert said(fuse(fuser, a, b, tmp_path / "o.avi"), ".avi", "creation_time, location")


def test_audio_of_many_codecs_is_not_touched(fuser, a, tmp_path):
    b = write(tmp_path / "b.mkv", sounds=[("flac", beep(2, 0.5), 0, {})])
    fuse(fuser, a, b, tmp_path / "o.mkv")
    samples = []
    for path in (b, tmp_path / "o.mkv"):
        with av.open(str(path)) as file:
            samples.append(np.concatenate([one.to_ndarray() for one in file.decode(audio=0)], 1))
    assert np.array_equal(*samples)
