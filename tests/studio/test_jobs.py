"""Jobs, their files and their turns, without an engine."""

import asyncio
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the studio needs the extra web")

from refinefuse.studio.jobs import FairQueue, Job, JobStore, Limits, RefusedError, safe_name


async def chunks(*parts):
    for part in parts:
        yield part


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a b (1).PNG", "a b (1).PNG"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\x\\ir.tif", "ir.tif"),
        ("..", "file"),
        (".bashrc", "bashrc"),
        ("", "file"),
        ("a\0b\n.png", "a_b_.png"),
        ("Größe.nii.gz", "Größe.nii.gz"),
    ],
)
def test_names_of_uploads_are_harmless(name, expected):
    assert safe_name(name) == expected


def test_long_names_can_be_stored(tmp_path):
    for name in ("ü" * 500, "ü" * 500 + ".png", "a." + "ü" * 500):
        (tmp_path / safe_name(name)).touch()


def test_uploads_of_one_name_are_both_kept_in_their_folder(tmp_path):
    store = JobStore(tmp_path, Limits())
    job = store.create("me", "folders")
    for content in (b"one", b"two"):
        asyncio.run(store.upload(job, "a", "x/../../x.png", chunks(content)))
    assert job.sources("a") == ["x-2.png", "x.png"]
    assert (job.stored, job.count) == (6, 2)


def test_a_file_that_is_too_large_leaves_nothing(tmp_path):
    store = JobStore(tmp_path, Limits(upload=1))
    job = store.create("me", "images")
    with pytest.raises(RefusedError, match="larger than 1 MiB"):
        asyncio.run(store.upload(job, "a", "big.png", chunks(*[bytes(2**19)] * 3)))
    assert job.sources("a") == []
    assert (job.stored, job.count) == (0, 0)


def test_limits_of_a_user(tmp_path):
    store = JobStore(tmp_path, Limits(storage=1, files=2, max_jobs=2))
    job = store.create("me", "images")
    asyncio.run(store.upload(job, "a", "a", chunks(bytes(2**19))))
    with pytest.raises(RefusedError, match="take more than 1 MiB"):
        asyncio.run(store.upload(store.create("me", "images"), "a", "b", chunks(bytes(2**20))))
    asyncio.run(store.upload(job, "a", "b", chunks(b"1")))
    with pytest.raises(RefusedError, match="at most 2 files"):
        asyncio.run(store.upload(job, "b", "c", chunks(b"1")))
    with pytest.raises(RefusedError, match="the limit"):
        store.create("me", "images")
    assert store.create("you", "images").owner == "you"


def test_only_its_owner_sees_a_job(tmp_path):
    store = JobStore(tmp_path, Limits())
    job = store.create("me", "images")
    assert store.get("me", job.id) is job
    for owner, identity in (("you", job.id), ("me", "../other")):
        with pytest.raises(RefusedError, match="no longer exists"):
            store.get(owner, identity)
    assert store.owned("you") == []


def test_jobs_that_nobody_asks_for_are_deleted(tmp_path):
    store = JobStore(tmp_path, Limits(hours=1))
    old, running, new = (store.create("me", "images") for _ in range(3))
    old.touched -= 3700
    running.touched, running.state = running.touched - 3700, "running"
    store.remove_old()
    assert store.all() == [running, new]
    assert not old.folder.exists()


def test_users_take_turns():
    queue = FairQueue()
    jobs = {name: Job(name, name[0], "images", Path()) for name in ("a1", "a2", "a3", "b1", "b2", "c1")}
    for job in jobs.values():
        queue.put(job)
    assert [queue.ahead(jobs[name]) for name in ("a1", "a2", "b1", "c1")] == [0, 3, 1, 2]
    queue.remove(jobs["a2"])
    assert [job.id for job in iter(queue.take, None)] == ["a1", "b1", "c1", "a3", "b2"]
    assert len(queue) == 0
