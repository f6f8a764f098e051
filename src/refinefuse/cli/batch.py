"""`refinefuse batch`."""

from __future__ import annotations

from typing import Literal

from refinefuse.batch.cluster import ClusterOptions
from refinefuse.cli.arguments import NetworkArguments, RegistrationArguments, ThermalArguments

EXAMPLES = """\
  refinefuse batch ir/ vi/ -o fused/
  refinefuse batch pairs.csv -o s3://bucket/fused --address auto
  refinefuse batch "s3://bucket/ir/*.png" "s3://bucket/vi/*.png" -o s3://bucket/fused --address auto --gpus 0.25
"""


def run(
    *pairs: str,
    output: str,
    pair_by: str | None = None,
    color: Literal["b", "a", "both", "gray"] = "b",
    format: Literal["auto", "png", "tiff", "webp", "jpeg"] = "auto",  # noqa: A002  # name of the option
    png_level: int = 1,
    overwrite: bool = False,
    cluster: ClusterOptions,
    thermal: ThermalArguments,
    registration: RegistrationArguments,
    network: NetworkArguments,
) -> int:
    """Fuse many pairs on a Ray cluster: images, videos or NIfTI volumes.

    The same command again resumes where it stopped; OUTPUT/results.parquet records every pair. Needs the extra `ray`.

    Args:
        pairs: Manifest (.csv or .parquet with columns a, b and optionally name), a folder with ir and vi, or two
            folders or glob patterns. Paths, or URLs such as s3://.
        output: Folder for the results: a path or URL.
        pair_by: Regular expression for what the names of a pair have in common.
        color: Color source; both mixes by saturation.
        format: Format of the results.
        png_level: PNG compression: 0 (none), 1 (fast), 2 (smaller) to 9.
        overwrite: Fuse again pairs that are already done.
        cluster: What a batch may use.
        thermal: How A is read.
        registration: How sources are aligned.
        network: What fuses.
    """
    from refinefuse.cli.session import session
    from refinefuse.inference.resources import limit_threads

    limit_threads(session.threads)
    from refinefuse.batch.items import absolute, find_items
    from refinefuse.batch.run import run_batch
    from refinefuse.batch.work import BatchOptions
    from refinefuse.cli.reporting import report_batch
    from refinefuse.errors import InputError
    from refinefuse.weights.store import DEFAULT

    if not pairs:
        raise InputError("There is nothing to fuse.\nPass a manifest, or two folders.")
    options = BatchOptions(
        network.weights or DEFAULT,
        {
            "color": color,
            "device": network.device,
            "precision": network.precision,
            "backend": network.backend,
            "tile": network.tile,
            "contrast": network.contrast,
        },
        thermal.options(),
        registration.options(),
        format,
        png_level,
    )
    items = find_items([absolute(source) for source in pairs], pair_by)
    summary = run_batch(
        items,
        absolute(output),
        options,
        cluster,
        overwrite=overwrite,
        progress=not session.quiet,
    )
    return report_batch(summary, output)
