"""The one writer of files: whole or not at all, never through a planted name."""

import os
import stat
import subprocess
import sys

import pytest

from refinefuse import atomic
from refinefuse.atomic import atomic_path, check_writable, replace_when_done, write_atomic, write_text_atomic
from refinefuse.errors import InputError


def test_a_file_appears_whole_and_nothing_else_stays(tmp_path):
    path = tmp_path / "a.txt"
    write_text_atomic(path, "1\n")
    write_atomic(path, b"2\r\n")
    assert path.read_bytes() == b"2\r\n"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_an_error_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(FileNotFoundError), replace_when_done(path) as temporary:  # noqa: PT012  # the error comes after half of the work
        temporary.write_text("half")
        (tmp_path / "missing").read_text()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")
def test_unfinished_files_are_private_and_finished_ones_follow_the_umask(tmp_path):
    path = tmp_path / "a.txt"
    with atomic_path(path) as temporary:
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~atomic._UMASK


def test_a_planted_link_is_not_followed(tmp_path, monkeypatch):
    victim, planted = tmp_path / "victim", tmp_path / ".planted"
    victim.write_text("untouched")
    planted.symlink_to(victim)
    monkeypatch.setattr(atomic, "temporary_name", lambda _: planted)
    with pytest.raises(InputError, match="Cannot write"):
        write_atomic(tmp_path / "a.txt", b"x")
    assert victim.read_text() == "untouched"


def test_what_a_killed_process_left_is_removed_and_what_is_in_use_stays(tmp_path):
    """Another process holds a temporary file; then it is killed, and a third one writes beside it."""
    holder = (
        "import sys, time\nfrom pathlib import Path\nfrom refinefuse.atomic import temporary_file\n"
        "with temporary_file(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(60)\n"
    )
    writer = "import sys, pathlib, refinefuse.atomic as a\na.write_atomic(pathlib.Path(sys.argv[1]), b'x')"
    (tmp_path / ".refinefuse-mine").write_text("not ours")
    process = subprocess.Popen([sys.executable, "-c", holder, str(tmp_path / "a")], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    for expected in (1, 0):
        subprocess.run([sys.executable, "-c", writer, str(tmp_path / "b")], check=True)
        assert len(list(tmp_path.glob(".refinefuse-*.tmp"))) == expected
        process.kill()
        process.wait()
    process.stdout.close()
    assert (tmp_path / ".refinefuse-mine").exists()


def test_a_link_at_the_target_is_replaced_and_its_file_left_alone(tmp_path):
    victim, path = tmp_path / "victim", tmp_path / "a.txt"
    victim.write_text("untouched")
    path.symlink_to(victim)
    write_atomic(path, b"new")
    assert (victim.read_text(), path.is_symlink()) == ("untouched", False)


def test_paths_that_cannot_be_written_are_refused(tmp_path):
    (tmp_path / "there").write_text("")
    for path, reason in ((tmp_path, "folder"), (tmp_path / "there/a", "not a folder"), (tmp_path / "there", "exists")):
        with pytest.raises(InputError, match=reason):
            check_writable(path, overwrite=False)
    check_writable(tmp_path / "there", overwrite=True)
