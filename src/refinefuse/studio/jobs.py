"""Jobs of the studio: uploaded files, their results, and the queue."""

from __future__ import annotations

import re
import secrets
import shutil
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Any, Literal

from refinefuse.errors import RefineFuseError
from refinefuse.studio.options import Kind, Options

State = Literal["new", "waiting", "running", "done", "failed", "canceled"]
Slot = Literal["a", "b", "transform"]
ACTIVE: tuple[State, ...] = ("waiting", "running")
_MIB = 2**20
_RESERVE = 2**30  # bytes of disk space to keep free


class RefusedError(RefineFuseError):
    """A request that is rejected.

    Args:
        status: HTTP status code.
        message: what is wrong, and what to do.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Limits:
    """Limits on storage and jobs.

    Attributes:
        upload: maximum file size in MiB.
        storage: maximum storage per user in MiB.
        files: maximum number of files per job.
        max_jobs: maximum number of jobs per user.
        waiting: maximum number of queued jobs of all users.
        hours: hours without access after which a job is deleted.
    """

    upload: int = 2048
    storage: int = 16_384
    files: int = 10_000
    max_jobs: int = 50
    waiting: int = 500
    hours: float = 24.0


@dataclass(eq=False)
class Job:
    """One job.

    Attributes:
        id: unguessable identifier.
        owner: session of the user.
        kind: kind of input.
        folder: folder of its files: `a`, `b`, `transform`, and `out` for results.
        created: creation time in seconds since 1970.
        runs: number of times it was started.
        state: current state.
        options: options of the last start.
        done: number of completed steps.
        total: total number of steps; None if unknown.
        message: why it failed.
        result: result as displayed by the page.
        touched: time of the last access, in seconds of the monotonic clock.
        stored: number of uploaded bytes.
        count: number of uploaded files.
        is_canceled: whether it should stop.
    """

    id: str
    owner: str
    kind: Kind
    folder: Path
    created: float = field(default_factory=time.time)
    runs: int = 0
    state: State = "new"
    options: Options = field(default_factory=Options)
    done: int = 0
    total: int | None = None
    message: str = ""
    result: dict[str, Any] = field(default_factory=dict)
    touched: float = field(default_factory=time.monotonic)
    stored: int = 0
    count: int = 0
    is_canceled: bool = False

    def sources(self, slot: Slot) -> list[str]:
        """Return the names of the files in a slot."""
        return sorted(path.name for path in (self.folder / slot).glob("*"))

    def clear(self, slot: Slot) -> None:
        """Delete the files of a slot."""
        for path in (self.folder / slot).glob("*"):
            self.stored -= path.stat().st_size
            self.count -= 1
            path.unlink()

    def swap(self) -> None:
        """Exchange `a` and `b`."""
        a, b, spare = (self.folder / name for name in ("a", "b", "spare"))
        a.rename(spare)
        b.rename(a)
        spare.rename(b)

    def describe(self) -> dict[str, Any]:
        """Return the job as displayed by the page."""
        names = {slot: self.sources(slot) for slot in ("a", "b", "transform")}
        return {
            "id": self.id,
            "kind": self.kind,
            "created": self.created,
            "runs": self.runs,
            "state": self.state,
            "options": self.options.model_dump(),
            "sources": {slot: found[:3] for slot, found in names.items()},
            "counts": {slot: len(found) for slot, found in names.items()},
            "done": self.done,
            "total": self.total,
            "message": self.message,
            "result": self.result,
        }


class JobStore:
    """All jobs, each in its own folder.

    Args:
        root: empty folder for the jobs.
        limits: limits on storage and jobs.
    """

    def __init__(self, root: Path, limits: Limits) -> None:
        self.root, self.limits = root, limits
        self._jobs: dict[str, Job] = {}

    def create(self, owner: str, kind: Kind) -> Job:
        """Create a job without files.

        Raises:
            RefusedError: the user has too many jobs.
        """
        if len(self.owned(owner)) >= self.limits.max_jobs:
            raise RefusedError(429, f"You have {self.limits.max_jobs} jobs, which is the limit. Delete one first.")
        identity = secrets.token_urlsafe(16)
        folder = self.root / identity
        for slot in ("a", "b", "transform"):
            (folder / slot).mkdir(parents=True)
        self._jobs[identity] = job = Job(identity, owner, kind, folder)
        return job

    def get(self, owner: str, identity: str) -> Job:
        """Return a job of a user.

        Raises:
            RefusedError: the job does not exist, or belongs to another user.
        """
        job = self._jobs.get(identity)
        if job is None or job.owner != owner:
            raise RefusedError(404, "This job no longer exists. Start it again.")
        job.touched = time.monotonic()
        return job

    def owned(self, owner: str) -> list[Job]:
        """Return the jobs of a user, newest first."""
        return [job for job in reversed(self._jobs.values()) if job.owner == owner]

    def all(self) -> list[Job]:
        """Return the jobs of all users."""
        return list(self._jobs.values())

    def remove(self, job: Job) -> None:
        """Remove a job and delete its files."""
        job.is_canceled = True
        self._jobs.pop(job.id, None)
        shutil.rmtree(job.folder, ignore_errors=True)

    def remove_old(self) -> None:
        """Remove idle jobs that have not been accessed recently."""
        latest = time.monotonic() - 3600 * self.limits.hours
        for job in self.all():
            if job.touched < latest and job.state not in ACTIVE:
                self.remove(job)

    async def upload(self, job: Job, slot: Slot, name: str, content: AsyncIterator[bytes]) -> None:
        """Store a file in a slot atomically.

        Raises:
            RefusedError: the file is too large, or there are too many files.
        """
        if job.state in ACTIVE:
            raise RefusedError(409, "This job is running. Cancel it before you change its files.")
        if job.count >= self.limits.files:
            raise RefusedError(413, f"A job holds at most {self.limits.files} files.")
        path = _free_name(job.folder / slot, safe_name(name))
        size = 0
        job.count += 1
        try:
            with path.open("xb") as file:
                async for chunk in content:
                    size += len(chunk)
                    job.stored += len(chunk)
                    self._check_size(size, job.owner)
                    file.write(chunk)
        except BaseException:  # the connection may close at any time
            path.unlink(missing_ok=True)
            job.stored, job.count = job.stored - size, job.count - 1
            raise

    def _check_size(self, size: int, owner: str) -> None:
        if size > self.limits.upload * _MIB:
            raise RefusedError(413, f"The file is larger than {self.limits.upload} MiB, which is the limit per file.")
        if sum(job.stored for job in self.owned(owner)) > self.limits.storage * _MIB:
            raise RefusedError(
                413, f"Your files take more than {self.limits.storage} MiB, which is the limit. Delete a job."
            )
        if shutil.disk_usage(self.root).free < _RESERVE:
            raise RefusedError(507, "The disk of this machine is almost full. Delete some jobs, and try again.")


class FairQueue:
    """Round-robin queue over users; the jobs of each user run in order."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Job]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def put(self, job: Job) -> None:
        """Add a job."""
        self._waiting.setdefault(job.owner, deque()).append(job)

    def take(self) -> Job | None:
        """Remove and return the next job; None if the queue is empty."""
        for owner in list(self._waiting):
            jobs = self._waiting.pop(owner)
            job = jobs.popleft()
            if jobs:
                self._waiting[owner] = jobs  # to the back of the queue
            return job
        return None

    def remove(self, job: Job) -> None:
        """Remove a job from the queue."""
        own = self._waiting.get(job.owner, deque())
        if job in own:
            own.remove(job)
        if not own:
            self._waiting.pop(job.owner, None)

    def ahead(self, job: Job) -> int:
        """Return the number of jobs ahead of a queued job."""
        own = self._waiting.get(job.owner, deque())
        if job not in own:
            return 0
        rank = own.index(job)
        owners = list(self._waiting)
        first = owners.index(job.owner)
        others = (min(len(self._waiting[owner]), rank + (at < first)) for at, owner in enumerate(owners) if at != first)
        return rank + sum(others)


def safe_name(name: str) -> str:
    """Return the last part of an uploaded file's name, made safe as a file name."""
    last = PureWindowsPath(name).name  # handles both kinds of slashes
    plain = re.sub(r"[^\w .()+=,@-]", "_", last).strip(" .")
    stem, dot, suffix = plain.rpartition(".") if "." in plain else (plain, "", "")
    return f"{_shortened(stem, 180)}{dot}{_shortened(suffix, 40)}" or "file"


def _shortened(text: str, size: int) -> str:
    return text.encode()[:size].decode(errors="ignore")


def _free_name(folder: Path, name: str) -> Path:
    path, number = folder / name, 1
    while path.exists():
        number += 1
        path = folder / f"{Path(name).stem}-{number}{Path(name).suffix}"
    return path
