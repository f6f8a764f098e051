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
    """Serve a local web page that fuses images, folders, videos and volumes on this machine.

    Files are kept in a temporary folder and deleted with their job, at the latest when the studio stops. Needs the
    extra `web`.

    Args:
        host: Address to listen on. With 0.0.0.0 other machines can connect; they need the token in the address that is
            printed.
        port: Port to listen on; 0 picks a free one.
        weights: Further weights to offer, a .safetensors or ONNX file.
        max_upload: Maximum size of an uploaded file, in MiB.
        keep_hours: Hours after which a job that nobody has looked at is deleted.
    """
    from contextlib import suppress

    from refinefuse.cli.session import session
    from refinefuse.studio.serve import serve

    with suppress(KeyboardInterrupt):  # Ctrl-C is the normal way to stop
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
