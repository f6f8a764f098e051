"""Deinterlacing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from refinefuse.inference.video.frames import CorruptFrame, import_av, reason_of

if TYPE_CHECKING:
    from av import VideoFrame


def progressive(
    events: Iterable[VideoFrame | CorruptFrame], on_interlaced: Callable[[], None]
) -> Iterator[VideoFrame | CorruptFrame]:
    """Pass progressive images through; from the first interlaced one on, deinterlace interlaced images.

    Args:
        events: decoded images, and corrupt frames, which pass through.
        on_interlaced: called once, at the first interlaced image.
    """
    graph: Any = None
    for event in events:
        if isinstance(event, CorruptFrame):
            yield event
            continue
        if graph is None and event.interlaced_frame:
            graph = _deinterlacer(event)
            on_interlaced()
        yield from [event] if graph is None else _passed(graph, event)
    if graph is not None:
        yield from _passed(graph, None)


def _deinterlacer(image: VideoFrame) -> Any:
    graph = import_av().filter.Graph()
    source = graph.add_buffer(
        width=image.width, height=image.height, format=image.format, time_base=image.time_base or None
    )
    graph.link_nodes(source, graph.add("bwdif", "mode=send_frame:deint=interlaced"), graph.add("buffersink"))
    graph.configure()
    return graph


def _passed(graph: Any, image: VideoFrame | None) -> Iterator[VideoFrame | CorruptFrame]:
    """Feed one image and yield the output images; None flushes."""
    error = import_av().error
    try:
        graph.vpush(image)
        while True:
            yield graph.vpull()
    except (error.BlockingIOError, error.EOFError):
        return
    except error.FFmpegError as problem:
        yield CorruptFrame("an interlaced frame", reason_of(problem))
