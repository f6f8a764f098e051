"""A studio in this process, with its engine in another one, and browsers that use it."""

import time
from pathlib import Path

from starlette.testclient import TestClient

from refinefuse.studio.app import create_app
from refinefuse.studio.jobs import JobStore, Limits
from refinefuse.studio.runner import Runner


class Browser:
    """Does what the page does."""

    def __init__(self, client):
        self.client = client

    def job(self, kind, a, b, **options):
        """A job that was started."""
        identity = self.client.post("/api/jobs", params={"kind": kind}).json()["id"]
        for slot, files in (("a", a), ("b", b)):
            for file in files if isinstance(files, list) else [files]:
                answer = self.client.put(f"/api/jobs/{identity}/files/{slot}", params={"name": file.name},
                                         content=Path(file).read_bytes())  # fmt: skip
                assert answer.status_code == 204, answer.text
        return self.start(identity, **options)

    def start(self, identity, **options):
        answer = self.client.post(f"/api/jobs/{identity}/start", json=options)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def show(self, job):
        return self.client.get(f"/api/jobs/{job['id']}").json()

    def ended(self, job):
        """The job when it has ended."""
        while (now := self.show(job))["state"] in ("waiting", "running"):
            time.sleep(0.02)
        return now

    def file(self, job, number=0):
        return self.client.get(f"/api/jobs/{job['id']}/files/{number}")


class Studio:
    """A studio; calling it makes a browser."""

    def __init__(self, folder, token="", **limits):
        self.runner = Runner(JobStore(folder, Limits(**limits)), {}, threads=1)
        self.app = create_app(self.runner, token)
        self._first = TestClient(self.app, base_url="http://127.0.0.1:8600")

    def __enter__(self):
        self._first.__enter__()  # starts the runner
        return self

    def __exit__(self, *error):
        self._first.__exit__(*error)

    def __call__(self):
        client = TestClient(self.app, base_url="http://127.0.0.1:8600")
        client.portal = self._first.portal  # one event loop for all
        return Browser(client)
