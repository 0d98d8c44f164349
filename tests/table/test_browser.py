"""A browser shows the page whole, wide and narrow, without complaint."""

import html
import json
import re
import shutil
import subprocess

import pytest

from speechbrain_ser.table import pages
from tests.table.made_up import made_up

BROWSER = next(
    filter(
        None,
        map(shutil.which, ("chromium", "chromium-browser", "google-chrome")),
    ),
    None,
)
pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="no Chromium or Chrome is installed"
)

# A window is never narrower than about 500 pixels, but a frame may be.
MEASURE = """<!doctype html><meta charset="utf-8">
<iframe style="width: {width}px; height: 900px; border: 0"
 srcdoc="{page}"></iframe><pre id="found"></pre>
<script>
addEventListener("load", () => {{
  const page = document.querySelector("iframe").contentDocument;
  const view = page.defaultView;
  const all = (what) => [...page.querySelectorAll(what)];
  document.getElementById("found").textContent = JSON.stringify({{
    window: view.innerWidth,
    scrolled: Math.max(page.documentElement.scrollWidth, page.body.scrollWidth),
    images: all("img").length,
    broken: all("img").filter((image) => !image.naturalWidth).length,
    squeezed: all("img").filter((image) => Math.abs(
      image.width / image.height - image.naturalWidth / image.naturalHeight
    ) > 0.02).length,
    columns: new Set(all("figure").map((f) => f.offsetLeft)).size,
    sideways: all(".wide").filter((e) => e.scrollWidth > e.clientWidth).length,
    smallest: Math.min(...all("body, p, li, th, td, td span, dd, figcaption")
      .map((e) => parseFloat(view.getComputedStyle(e).fontSize))),
  }});
}});
</script>
"""
BROKEN = """<!doctype html><html><body><p style="font-size: 9px">small</p>
<img src="data:image/png;base64,AAAA" alt="">
<div style="width: 2000px">wide</div>
<script>console.error("complaint")</script></body></html>"""


def browse(folder, page, *options):
    """Opens a page; gives what the browser prints and its complaints."""
    done = subprocess.run(
        [
            BROWSER,
            *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update"),
            *("--disable-sync", "--disable-dev-shm-usage"),
            f"--user-data-dir={folder / 'profile'}",
            *("--enable-logging=stderr", *options, page.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    return done.stdout, [line for line in lines if "CONSOLE" in line]


def measure(folder, text, width):
    """Shows a page in a frame of this width and gives what is found in it."""
    page = folder / "measure.html"
    page.write_text(
        MEASURE.format(width=width, page=html.escape(text)), encoding="utf-8"
    )
    shown, _ = browse(folder, page, "--dump-dom", "--window-size=1400,1000")
    found = re.search(r'<pre id="found">(.+?)</pre>', shown)
    return json.loads(html.unescape(found[1]))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The page of a made-up table, as a file."""
    folder = tmp_path_factory.mktemp("table")
    pages.write_pages(made_up(str(folder)), folder / "out")
    return folder / "out" / "table.html"


@pytest.mark.parametrize("width, columns", [(1280, 2), (400, 1)])
def test_layout(written, tmp_path, width, columns):
    """All pictures load; tables scroll by themselves, the page does not."""
    found = measure(tmp_path, written.read_text(encoding="utf-8"), width)
    assert found["window"] == width
    assert found["scrolled"] <= width
    assert found["images"] == 5
    assert found["broken"] == found["squeezed"] == 0
    assert found["columns"] == columns
    assert found["smallest"] >= 14
    assert width > 400 or found["sideways"] > 0


def test_measuring_finds_what_is_wrong(tmp_path):
    """A page with a broken image, a wide element and small letters fails."""
    found = measure(tmp_path, BROKEN, 400)
    assert found["window"] == 400
    assert found["scrolled"] >= 2000
    assert found["images"] == found["broken"] == 1
    assert found["smallest"] == 9


def test_no_complaints(written, tmp_path):
    """The console stays empty, and the picture of the page is not."""
    shot = tmp_path / "shot.png"
    options = (f"--screenshot={shot}", "--window-size=1280,1000")
    assert browse(tmp_path, written, *options)[1] == []
    assert shot.stat().st_size > 20000

    bad = tmp_path / "bad.html"
    bad.write_text(BROKEN)
    (complaint,) = browse(tmp_path, bad, *options)[1]
    assert "complaint" in complaint
