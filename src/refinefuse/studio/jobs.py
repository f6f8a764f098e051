"""Jobs of the studio: the files of a user, what is made of them, and whose turn is next."""

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
_RESERVE = 2**30  # bytes of the disk that uploads leave free


class RefusedError(RefineFuseError):
    """Something that a user asked for and does not get.

    Args:
        status: of HTTP.
        message: what is wrong, and what to do.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Limits:
    """How much a user may store, and for how long.

    Attributes:
        upload: MiB of one file.
        storage: MiB of one user in all.
        files: in one job.
        max_jobs: of one user.
        waiting: jobs of all users that wait.
        hours: after which a job that nobody looks at is deleted.
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
        id: cannot be guessed.
        owner: the user's session.
        kind: what it fuses.
        folder: of its files: `a`, `b`, `transform`, and `out` for results.
        created: seconds since 1970.
        runs: how often it was started.
        state: how far it is.
        options: of the last start.
        done: steps.
        total: steps in all; None: not known.
        message: why it failed.
        result: what the page shows of it.
        touched: when somebody asked for it last, in seconds of the monotonic clock.
        stored: bytes that were uploaded.
        count: of uploaded files.
        is_canceled: whether it is to stop.
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
        """The names of the files in a slot."""
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
        """What the page shows."""
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
    """All jobs, each in a folder of its own.

    Args:
        root: an empty folder for them.
        limits: of what a user may store.
    """

    def __init__(self, root: Path, limits: Limits) -> None:
        self.root, self.limits = root, limits
        self._jobs: dict[str, Job] = {}

    def create(self, owner: str, kind: Kind) -> Job:
        """A new job without files.

        Raises:
            RefusedError: if the user has too many.
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
        """A job of a user.

        Raises:
            RefusedError: if it is not there, or another user's.
        """
        job = self._jobs.get(identity)
        if job is None or job.owner != owner:
            raise RefusedError(404, "This job no longer exists. Start it again.")
        job.touched = time.monotonic()
        return job

    def owned(self, owner: str) -> list[Job]:
        """The jobs of a user, the newest first."""
        return [job for job in reversed(self._jobs.values()) if job.owner == owner]

    def all(self) -> list[Job]:
        """The jobs of all users."""
        return list(self._jobs.values())

    def remove(self, job: Job) -> None:
        """Forget a job, and delete its files."""
        job.is_canceled = True
        self._jobs.pop(job.id, None)
        shutil.rmtree(job.folder, ignore_errors=True)

    def remove_old(self) -> None:
        """Remove the jobs that nobody has asked for, and that have nothing to do."""
        latest = time.monotonic() - 3600 * self.limits.hours
        for job in self.all():
            if job.touched < latest and job.state not in ACTIVE:
                self.remove(job)

    async def upload(self, job: Job, slot: Slot, name: str, content: AsyncIterator[bytes]) -> None:
        """Store a file in a slot, whole or not at all.

        Raises:
            RefusedError: if it is too large, or there are too many.
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
        except BaseException:  # the connection may end at any time
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
    """Who has waited for a turn goes before who just had one: users take turns, and each one's jobs are in order."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Job]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def put(self, job: Job) -> None:
        """Let a job wait."""
        self._waiting.setdefault(job.owner, deque()).append(job)

    def take(self) -> Job | None:
        """The job whose turn it is; None if none waits."""
        for owner in list(self._waiting):
            jobs = self._waiting.pop(owner)
            job = jobs.popleft()
            if jobs:
                self._waiting[owner] = jobs  # behind the others
            return job
        return None

    def remove(self, job: Job) -> None:
        """Let a job wait no more."""
        own = self._waiting.get(job.owner, deque())
        if job in own:
            own.remove(job)
        if not own:
            self._waiting.pop(job.owner, None)

    def ahead(self, job: Job) -> int:
        """How many jobs come before this one, if it waits."""
        own = self._waiting.get(job.owner, deque())
        if job not in own:
            return 0
        rank = own.index(job)
        owners = list(self._waiting)
        first = owners.index(job.owner)
        others = (min(len(self._waiting[owner]), rank + (at < first)) for at, owner in enumerate(owners) if at != first)
        return rank + sum(others)


def safe_name(name: str) -> str:
    """The last part of a name that a browser gave, harmless as the name of a file."""
    last = PureWindowsPath(name).name  # it knows both kinds of slash
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
