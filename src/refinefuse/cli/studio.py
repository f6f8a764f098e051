"""`refinefuse studio`."""

from __future__ import annotations

from pathlib import Path

EXAMPLES = """\
  refinefuse studio
  refinefuse studio --port 0 --weights my-rig.safetensors
  refinefuse studio --host 0.0.0.0 --max-upload 500
"""


def run(
    *,
    host: str = "127.0.0.1",
    port: int = 8600,
    weights: Path | None = None,
    max_upload: int = 2048,
    keep_hours: float = 24.0,
) -> int:
    """Fuse in the browser, computed on this machine.

    Images, folders, videos and volumes, with all weights and backends. Files are kept in a temporary folder, and are
    deleted with their job, at the latest when the studio ends. Needs the extra `web`.

    Args:
        host: Address to listen on. Other machines reach 0.0.0.0, and need the token in the address that is printed.
        port: Port to listen on; 0 takes a free one.
        weights: A .safetensors file, or an ONNX file, to choose beside the shipped weights.
        max_upload: Size of the largest file that is accepted, in MiB.
        keep_hours: Delete a job that nobody has looked at for so long.
    """
    from contextlib import suppress

    from refinefuse.cli.session import session
    from refinefuse.studio.serve import serve

    with suppress(KeyboardInterrupt):  # this is how it ends
        serve(
            host,
            port,
            lambda address: print(f"The studio is ready: {address}\nStop it with Ctrl-C.", flush=True),
            weights=[] if weights is None else [weights],
            upload=max_upload,
            hours=keep_hours,
            threads=session.threads,
        )
    return 0
