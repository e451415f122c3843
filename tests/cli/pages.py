#!/usr/bin/env python3
"""The pages for people, in a browser: the verdict's and the server's status. Each fits a telephone and a desk, runs no script and
fetches nothing. Exits 77, a skip that shows, without chromium.

usage: pages.py FUSION SOURCE"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from service_scene import Server, fetch, make_data, query

WIDTHS = (360, 1280)
# Shows a page in a frame of some width, and writes what it measures where --dump-dom prints it.
FRAME = """<!DOCTYPE html><iframe id="f" src="page.html" style="width:{width}px;height:600px;border:0"></iframe><pre id="found"></pre>
<script>
document.getElementById("f").onload = () => {{
  const page = document.getElementById("f").contentDocument, root = page.documentElement;
  document.getElementById("found").textContent = JSON.stringify({{
    width: root.scrollWidth, height: root.scrollHeight, text: page.body.innerText, scripts: page.scripts.length,
    fetched: page.defaultView.performance.getEntriesByType("resource").length, language: root.lang, title: page.title}});
}};
</script>"""


def look(html, width):
    """What a browser makes of a page in a window of this width."""
    Path("page.html").write_text(html)
    Path("frame.html").write_text(FRAME.format(width=width))
    done = subprocess.run(["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                           "--allow-file-access-from-files", "--virtual-time-budget=5000", f"--user-data-dir={os.getcwd()}/profile",
                           "--dump-dom", f"file://{os.getcwd()}/frame.html"], capture_output=True, text=True, timeout=120)
    found = re.search(r'<pre id="found">(.+?)</pre>', done.stdout, re.S)
    assert found, f"chromium: exit {done.returncode}: {done.stderr[-2000:]}"
    return json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))


def check(name, html, words):
    for width in WIDTHS:
        page = look(html, width)
        assert page["width"] <= width, f"{name}: {page['width']} pixels wide in a window of {width}"
        assert page["scripts"] == 0 and page["fetched"] == 0 and page["language"] and page["title"], (name, page)
        for word in words:
            assert word.lower() in page["text"].lower(), f"{name}: '{word}' is not on the page: {page['text']}"
        print(f"{name}: {page['width']} x {page['height']} pixels in a window of {width}")


def main():
    if not shutil.which("chromium"):
        print("skipped: chromium is not installed (Debian package chromium)")
        return 77
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["XDG_CACHE_HOME"] = folder  # the server measures this machine, and the query predicts its time
        make_data()
        server = Server("--listen", "127.0.0.1:0", "--plaintext", "--admin", "127.0.0.1:0", "--log-format", "json")
        query(server.port, "--plaintext", "--report", "verdict.html")
        status, html = fetch(server.admin, "/")
        assert status == 200
        check("verdict", Path("verdict.html").read_text(), ["accept", "144", "public", "predicted"])
        check("status", html, ["jobs done", "samples", "144"])
        server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
