"""What axe-core finds wrong with a page."""

from typing import Any

from playwright.async_api import Page

from tests.support.npm import installed


async def faults_of(page: Page) -> list[tuple[str, list[str]]]:
    """Return each broken rule with the elements that break it."""
    # What a browser paints behind a page that says nothing of it, axe takes for white.
    await page.evaluate("""() => {
      const { style } = document.documentElement;
      if (!style.background) style.background = "Canvas";
    }""")
    axe = (installed() / "axe-core" / "axe.min.js").read_text()
    found: Any = await page.evaluate(f"{axe}; axe.run()")
    return [
        (fault["id"], [node["html"] for node in fault["nodes"]]) for fault in found["violations"]
    ]
