"""The studio as its page uses it: real files, the real engine, and users who mean no good."""

import io
import json
import zipfile

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the studio needs the extra web")

from studio_in_process import Studio

from refinefuse import Fuser
from refinefuse.image.files import read_image, write_image
from rendering import render


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A small pair in two files."""
    folder = tmp_path_factory.mktemp("pair")
    a, b = (image[100:196, 200:328] for image in render("smoke"))
    write_image(folder / "ir.png", a)
    write_image(folder / "vi.png", b)
    return folder / "ir.png", folder / "vi.png"


def test_images(browser, pair, tmp_path):
    job = browser.ended(browser.job("images", *pair))
    assert job["state"] == "done", job["message"]
    (tmp_path / "fused.png").write_bytes(browser.file(job).content)
    np.testing.assert_array_equal(read_image(tmp_path / "fused.png"), Fuser(device="cpu")(*pair))
    assert {row["key"] for row in job["result"]["metrics"]} >= {"VIF", "Qabf", "edge_recall", "overshoot"}
    for layer in ("fused", "a", "b", "weight", "overlay"):
        view = browser.client.get(f"/api/jobs/{job['id']}/views/{layer}")
        assert view.headers["content-type"] == "image/png"
    small = browser.ended(browser.start(job["id"], weights="infrared-visible-small", metrics=False, color="gray"))
    assert small["runs"] == 2
    assert "metrics" not in small["result"]
    assert browser.file(small).content != (tmp_path / "fused.png").read_bytes()


def test_images_of_two_sizes_are_aligned(browser, pair, tmp_path):
    a, b = render("smoke")
    write_image(tmp_path / "ir.png", a[20:460, 30:610])
    write_image(tmp_path / "vi.png", b)
    job = browser.ended(browser.job("images", tmp_path / "ir.png", tmp_path / "vi.png", metrics=False))
    assert job["state"] == "failed"
    assert "A: 440 x 580" in job["message"]
    assert "Choose automatic alignment" in job["message"]
    job = browser.ended(browser.start(job["id"], align=True, transform_type="translation", metrics=False))
    assert job["state"] == "done", job["message"]
    assert job["result"]["alignment"]["moved"] == pytest.approx(np.hypot(30, 20), abs=1)
    transform = json.loads(browser.file(job, 2).content)
    np.testing.assert_allclose(np.array(transform["matrix"])[:2, 2], [-30, -20], atol=1)


def test_folders(browser, pair, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_text("no image")
    names = ("1.png", "broken.png", "alone.png")
    a, b = [], []
    for name in names:
        for folder, files, source in (("a", a, pair[0]), ("b", b, pair[1])):
            if (folder, name) == ("b", "alone.png"):
                continue
            path = tmp_path / folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(broken.read_bytes() if name == "broken.png" else source.read_bytes())
            files.append(path)
    job = browser.ended(browser.job("folders", a, b))
    assert job["state"] == "done", job["message"]
    assert job["result"]["fused"] == ["1"]
    assert job["result"]["failed"]["broken"].startswith("Cannot read 'broken.png': it is not an image")
    assert job["result"]["unpaired"] == ["alone.png"]
    with zipfile.ZipFile(io.BytesIO(browser.file(job).content)) as archive:
        assert archive.namelist() == ["fused/1.png", "weight_maps/1.png"]
        assert archive.testzip() is None


def test_a_canceled_video_leaves_what_was_fused(browser, tmp_path):
    av = pytest.importorskip("av", reason="videos need the extra video")
    for name in ("a.mp4", "b.mp4"):
        with av.open(str(tmp_path / name), "w") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.width, stream.height = 64, 48
            for index in range(2000):
                image = np.full((48, 64, 3), index % 250, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode())
    job = browser.job("videos", tmp_path / "a.mp4", tmp_path / "b.mp4")
    while browser.show(job)["done"] < 3:
        assert browser.show(job)["state"] in ("waiting", "running"), browser.show(job)["message"]
    assert browser.show(job)["total"] == 2000
    job = browser.client.post(f"/api/jobs/{job['id']}/cancel").json()
    assert job["state"] == "canceled"
    frames = job["result"]["frames"]
    assert 1 <= frames < 2000
    with av.open(io.BytesIO(browser.file(job).content)) as container:
        assert sum(1 for _ in container.decode(video=0)) == frames


def test_volumes(browser, tmp_path):
    nibabel = pytest.importorskip("nibabel", reason="volumes need the extra medical")
    values = np.random.default_rng(0).random((20, 24, 3), np.float32) * 100
    for name in ("ct", "mri"):
        nibabel.save(nibabel.Nifti1Image(values, np.diag([2.0, 1.0, 3.0, 1.0])), tmp_path / f"{name}.nii.gz")
    job = browser.ended(browser.job("volumes", tmp_path / "ct.nii.gz", tmp_path / "mri.nii.gz", window="brain"))
    assert job["state"] == "done", job["message"]
    assert job["result"]["slices"] == 3
    assert job["result"]["geometry"] == {
        "spacing": [1.0, 2.0, 3.0],
        "edges": {"top": "A", "bottom": "P", "left": "R", "right": "L"},
        "ends": {"first": "I", "last": "S"},
    }
    assert "black to white: 0 to 80" in job["result"]["messages"][0]
    (tmp_path / "slice.png").write_bytes(browser.client.get(f"/api/jobs/{job['id']}/slices/fused/2").content)
    assert read_image(tmp_path / "slice.png").shape == (24, 20)
    assert browser.client.get(f"/api/jobs/{job['id']}/slices/fused/3").status_code == 404
    assert browser.file(job).headers["content-disposition"] == 'attachment; filename="fused.nii.gz"'


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.png", b"", "is empty"),
        ("a.png", b"\x89PNG\r\n\x1a\n" + bytes(100), "is damaged"),
        ("a.tif", b"II*\0\x08\0\0\0\xff\xff", "TIFF"),
        ("a.zip", b"PK\x03\x04" + bytes(50), "is not an image"),
        ("a.png", b"<svg onload=alert(1)>", "not supported"),
    ],
)
def test_hostile_uploads_are_answered_in_plain_words(browser, pair, tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    job = browser.ended(browser.job("images", tmp_path / name, pair[1]))
    assert job["state"] == "failed"
    assert said in job["message"]
    assert f"'{name}'" in job["message"]
    assert str(tmp_path) not in json.dumps(job)
    assert "--" not in job["message"]


def test_a_dead_engine_fails_one_job_only(shared, browser, pair):
    assert browser.ended(browser.job("images", *pair, metrics=False))["state"] == "done"
    worker = shared.runner._short.worker
    slow = browser.job("images", *pair)
    while browser.show(slow)["state"] != "running":
        pass
    worker._process.kill()
    job = browser.ended(slow)
    assert job["state"] == "failed"
    assert "The engine stopped" in job["message"]
    assert browser.ended(browser.job("images", *pair, metrics=False))["state"] == "done"


def test_users_see_nothing_of_each_other(shared, pair):
    mine, yours = shared(), shared()
    job = mine.ended(mine.job("images", *pair, metrics=False))
    assert mine.file(job).status_code == 200
    for path in ("", "/files/0", "/views/a"):
        assert yours.client.get(f"/api/jobs/{job['id']}{path}").status_code == 404
    assert yours.client.delete(f"/api/jobs/{job['id']}").status_code == 404
    assert yours.client.get("/api/jobs").json() == []


def test_no_path_leads_out_of_the_studio(browser, pair):
    job = browser.ended(browser.job("images", *pair, metrics=False))
    for path in (
        "files/-1",
        "files/9",
        "files/..%2F..%2Fx",
        "views/..%2Fa%2Fir.png",
        "slices/..%2Fa/0",
        "files/0/../../x",
    ):
        answer = browser.client.get(f"/api/jobs/{job['id']}/{path}")
        assert answer.status_code in (404, 405, 422), path
        assert answer.json()["message"]
    for name in ("..%2Fapp.py", "app.py", "%2e%2e%2fapp.py", "studio.html%00"):
        assert browser.client.get(f"/{name}").status_code == 404
    weights = browser.client.post(f"/api/jobs/{job['id']}/start", json={"weights": "/etc/passwd"})
    assert weights.status_code == 422
    assert "There are no weights with this name" in weights.json()["message"]
    assert browser.client.post(f"/api/jobs/{job['id']}/start", json={"output": "x.png"}).status_code == 422


def test_other_sites_are_refused(browser):
    assert browser.client.get("/api/jobs", headers={"host": "evil.example"}).status_code == 403
    assert browser.client.post("/api/jobs?kind=images", headers={"origin": "http://evil.example"}).status_code == 403
    page = browser.client.get("/")
    assert page.status_code == 200
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"


def test_a_studio_for_others_asks_for_its_token(tmp_path):
    with Studio(tmp_path, "secret") as studio:
        browser = studio()
        for path in ("/", "/api/jobs", "/?token=wrong"):
            assert browser.client.get(path, headers={"host": "host.example"}).status_code == 401
        assert browser.client.get("/?token=secret").history[0].status_code == 303
        assert browser.client.get("/api/jobs").json() == []


def test_uploads_have_a_limit(tmp_path):
    with Studio(tmp_path, upload=1) as studio:
        browser = studio()
        identity = browser.client.post("/api/jobs?kind=images").json()["id"]
        answer = browser.client.put(f"/api/jobs/{identity}/files/a?name=a.png", content=bytes(2**20 + 1))
        assert answer.status_code == 413
        assert answer.json()["message"] == "The file is larger than 1 MiB, which is the limit per file."
        assert browser.client.get(f"/api/jobs/{identity}").json()["counts"]["a"] == 0


def test_a_deleted_job_leaves_nothing(shared, browser, pair):
    job = browser.ended(browser.job("images", *pair, metrics=False))
    assert browser.client.delete(f"/api/jobs/{job['id']}").status_code == 204
    assert not (shared.runner.store.root / job["id"]).exists()
