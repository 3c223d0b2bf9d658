"""Takes the picture of the demo's report: `chatir demo`, then `python docs/report_picture.py`.

It needs the package playwright and a Chromium of the system.
"""

from __future__ import annotations

import io
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

REPORT = Path("demo", "report.html")
PICTURE = Path(__file__).parent / "pictures" / "report.png"
HIDDEN = ("unanswered", "people")
TARGET, ROUNDS = 1, 4
"""The target to show, from 0, and how many of its rounds fit the picture."""
COLORS = 128


def main() -> None:
    """Open the report at one target, three runs side by side, and keep what is seen."""
    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1200, "height": 1000}, device_scale_factor=1.5)
        page.goto(REPORT.resolve().as_uri())
        for run in HIDDEN:
            page.get_by_role("checkbox", name=run, exact=True).uncheck()
        page.locator("#list a").nth(TARGET).click()
        page.evaluate("scrollTo({top: 0, behavior: 'instant'})")  # where a clip is counted from
        box = page.locator("#dialog").bounding_box()
        end = page.get_by_text(f"Round {ROUNDS + 1}", exact=True).first.bounding_box()
        if box is None or end is None:
            raise SystemExit(f"{REPORT}: shows no dialog")
        height = end["y"] - box["y"] - 12
        clip = {"x": box["x"] - 16, "y": box["y"], "width": box["width"] + 32, "height": height}
        seen = page.screenshot(clip=clip, full_page=True)
        browser.close()
    Image.open(io.BytesIO(seen)).convert("RGB").quantize(COLORS, dither=Image.Dither.NONE).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
