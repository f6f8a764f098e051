"""What mkdocs makes when it builds the site: the command reference, the images of the gallery, the search of files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from refinefuse import Fuser
from refinefuse.cli import COMMANDS, module_of, overview, parser_of, parsing
from refinefuse.samples import SAMPLES, read_sample
from refinefuse.weights.store import DEFAULT, MEDICAL

_QUALITY = 88  # of JPEG


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated files to those of `docs`."""
    files.append(File.generated(config, "commands.md", content=command_reference()))
    script = Path(__file__).with_name("iframe-worker.js").read_text(encoding="utf-8")
    files.append(File.generated(config, "assets/iframe-worker.js", content=script))
    for name in SAMPLES:
        files.append(File.generated(config, f"gallery/{name}.jpg", content=gallery_image(name)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let the search put the choice of weights before the many pages that mention weights."""
    if page.file.src_uri == "which-weights.md":
        page.meta["search"] = {"boost": 4}
    return markdown


def command_reference() -> str:
    """The help of every command, as a page."""
    parts = ["# Commands", _block(overview())]
    for command in COMMANDS:
        summary = parsing.read_docstring(module_of(command).run)[0]
        parts += [f"## refinefuse {command}", summary, _block(parser_of(command).format_help())]
    return "\n\n".join(parts) + "\n"


def _block(text: str) -> str:
    return f"```text\n{text.strip()}\n```"


def gallery_image(name: str) -> bytes:
    """Both sources of a rendered scene and the fused image, side by side, as JPEG."""
    a, b = read_sample(name)
    fused = Fuser(MEDICAL if "ct" in SAMPLES[name] else DEFAULT, device="cpu")(a, b)
    images = [_rgb8(image) for image in (a, b, fused)]
    gap = np.full((images[0].shape[0], 8, 3), 255, np.uint8)
    row = np.hstack([images[0], gap, images[1], gap, images[2]])
    done, data = cv2.imencode(".jpg", row[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not done:
        raise RuntimeError(f"the image of '{name}' cannot be encoded")
    return data.tobytes()


def _rgb8(image: np.ndarray) -> np.ndarray:
    levels = image if image.dtype == np.uint8 else np.rint(image / 257).astype(np.uint8)
    return levels if levels.ndim == 3 else np.repeat(levels[..., None], 3, 2)
