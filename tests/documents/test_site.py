"""The documents as a web site: it builds, every link and anchor leads somewhere, and it needs no network."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest
from blocks import DOCUMENTS, ROOT

RESOURCES = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}
TWO_CLICKS = ("which-weights.html", "thermal.html", "tutorials/thermal-16-bit.html")


class Page(HTMLParser):
    """Links, resources and anchors of a page."""

    def __init__(self, path):
        super().__init__()
        self.links, self.resources, self.anchors = [], [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if tag in RESOURCES and given.get(RESOURCES[tag]) and given.get("rel") != "canonical":
            self.resources.append(given[RESOURCES[tag]])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("mkdocstrings", reason="the site needs the group docs (make site)")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder, {path: Page(path) for path in sorted(folder.rglob("*.html"))}


@pytest.mark.slow
def test_every_link_and_anchor_of_the_site_leads_somewhere(site):
    _, pages = site
    broken = []
    for path, page in pages.items():
        if path.name == "404.html":  # its links begin at the root of the host
            continue
        for link in (*page.links, *page.resources):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = path if not parts.path else (path.parent / unquote(parts.path)).resolve()
            if not target.exists() or (parts.fragment and unquote(parts.fragment) not in pages[target].anchors):
                broken.append(f"{path.name}: {link}")
    assert broken == []


@pytest.mark.slow
def test_the_site_is_read_without_a_network(site):
    folder, pages = site
    assert [link for page in pages.values() for link in page.resources if re.match(r"(https?:)?//", link)] == []
    styles = "".join(path.read_text(encoding="utf-8") for path in folder.rglob("*.css"))
    assert re.findall(r"url\([\"']?https?:", styles) == []


@pytest.mark.slow
def test_what_newcomers_look_for_is_two_clicks_away(site):
    folder, pages = site
    first = {(folder / urlsplit(link).path).resolve() for link in pages[folder / "index.html"].links}
    second = {
        (path.parent / urlsplit(link).path).resolve() for path in first & set(pages) for link in pages[path].links
    }
    assert {folder / name for name in TWO_CLICKS} <= first | second
    assert (folder / "gallery" / "smoke.jpg").stat().st_size > 20_000
    assert "refinefuse studio" in (folder / "commands.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_a_document_links_to_exist(path):
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not urlsplit(link).scheme]
    generated = ("commands.md", "gallery/")
    missing = [link for link in links if not link.startswith(("#", *generated))
               and not (path.parent / urlsplit(link).path).exists()]  # fmt: skip
    assert missing == []
