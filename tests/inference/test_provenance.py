"""Every result says what made it, and keeps saying so."""

import shutil
import subprocess

import numpy as np
import pytest

from refinefuse.errors import InputError
from refinefuse.image.files import read_image, write_image
from refinefuse.image.metadata import Metadata, read_metadata
from refinefuse.inference.alignment_options import AlignmentOptions
from refinefuse.inference.folders import fuse_files, fuse_folder
from refinefuse.inference.fuser import Fuser
from refinefuse.inference.outputs import OutputPaths
from refinefuse.inference.provenance import Provenance, add_text, find_text
from refinefuse.inference.provenance_files import read_provenance
from refinefuse.inference.thermal import ThermalOptions
from refinefuse.weights.store import shipped

SMALL = "infrared-visible-small"
PACKET = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" dc:format="image/png"/>'
    b"</rdf:RDF></x:xmpmeta>"
)


@pytest.fixture
def pair(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    write_image(tmp_path / "a/1.png", rng.integers(7000, 8000, (180, 200), np.uint16))
    write_image(tmp_path / "b/1.tif", rng.integers(0, 255, (180, 200, 3), np.uint8), metadata=Metadata(xmp=PACKET))
    return tmp_path


@pytest.mark.parametrize("name", ["1.png", "1.tif", "1.tiff"])
def test_what_made_a_result(pair, run_pair, name):
    output = run_pair(name)
    found = read_provenance(output)
    entry = shipped()[SMALL]
    assert (found.weights, found.file, found.sha256) == (SMALL, entry.file, entry.sha256)
    assert found.sources == ("a/1.png", "b/1.tif")
    assert found.settings["range"].startswith("7000 to 79")
    assert b"dc:format" in read_metadata(output).xmp
    write_image(pair / "again.webp", read_image(output).astype(np.uint8), metadata=read_metadata(output))
    write_image(pair / "again.jpg", read_image(output).astype(np.uint8), metadata=read_metadata(output))
    assert read_provenance(pair / "again.webp") == read_provenance(pair / "again.jpg") == found


@pytest.fixture
def run_pair(pair):
    def run(name, **options):
        sources = [pair / "a/1.png", pair / "b/1.tif"]
        fuser = Fuser(SMALL, device="cpu", tile=options.pop("tile", "off"))
        outputs = OutputPaths(pair / name, pair / "map.png")
        fuse_files(lambda: fuser, sources, outputs, ThermalOptions(), AlignmentOptions(), **options)
        return pair / name

    return run


def test_strips_and_maps_too(pair, run_pair):
    write_image(pair / "a/1.tif", read_image(pair / "a/1.png"))
    output = run_pair("1.tif", tile=144)
    assert read_provenance(output) == read_provenance(pair / "map.png")
    assert read_provenance(output).settings["range"]


def test_none_if_it_is_not_wanted(pair, run_pair):
    assert read_provenance(run_pair("1.png", provenance=False)) is None


def test_a_fused_image_as_a_source_does_not_pass_its_record_on(pair):
    fuser = Fuser(SMALL, device="cpu")
    fuse_folder(pair / "a", pair / "b", pair / "c", fuser=fuser)
    fuse_folder(pair / "a", pair / "c", pair / "d", fuser=fuser)
    assert read_provenance(pair / "d/1.png").sources == ("a/1.png", "c/1.png")
    assert read_metadata(pair / "d/1.png").xmp.count(b"<refinefuse:provenance>") == 1


def test_a_packet_written_again_by_another_program():
    text = Provenance("0.2.0", "w", "", "ab", ("a<&>.png",), {"range": "1 to 2"}).to_text()
    escaped = find_text(add_text(None, text))
    assert escaped == text
    attribute = b'<rdf:Description xmlns:q="urn:refinefuse:" q:provenance=\'' + text.encode() + b"'/>"
    assert Provenance.from_text(find_text(attribute)) == Provenance.from_text(text)


@pytest.mark.parametrize(
    "text", [None, "", '{"refinefuse": ', '{"refinefuse": "1"}', '{"refinefuse": "1", "sources": 3}']
)
def test_damaged_records_are_none(text):
    assert Provenance.from_text(text) is None


def test_names_without_folders_and_passwords():
    record = Provenance("0.2.0", "w", "", "").with_sources(
        ["/home/me/ir.png", "rtsp://me:secret@camera/live?key=1"], {}
    )
    assert record.sources == ("ir.png", "live")
    for sources, names in (
        (["rtsp://me:secret@camera"], ("camera",)),
        (["rtsp://me:se/cret@one/live?x", "rtsp://me:se/cret@two/live"], ("one/live", "two/live")),
        (["/home/me/day/ir/1.png", "/home/me/day/vi/1.png"], ("ir/1.png", "vi/1.png")),
        (
            ["/home/me/ir/day/1.png", "/home/me/vi/day/1.png", "/home/me/x/2.png"],
            ("ir/day/1.png", "vi/day/1.png", "2.png"),
        ),
        (["ir/1.png", "ir/1.png"], ("1.png", "1.png")),
        (["ir/1.png", "vi/1.jpg"], ("ir/1.png", "vi/1.jpg")),
        (["x/1.png", "x/1.jpg"], ("1.png", "1.jpg")),
    ):
        assert Provenance("0.2.0", "w", "", "").with_sources(sources, {}).sources == names


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_provenance(tmp_path / "none.png")
    with pytest.raises(InputError, match="it is a folder"):
        read_provenance(tmp_path)


def test_after_exiftool(pair, run_pair):
    output = run_pair("1.png")
    if (exiftool := shutil.which("exiftool")) is None:
        pytest.skip("exiftool is not installed")
    subprocess.run([exiftool, "-q", "-XMP:Title=seen", "-Artist=me", str(output)], check=True)
    assert read_provenance(output).weights == SMALL
