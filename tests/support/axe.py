"""Accessibility faults of a page, found by axe-core."""

from typing import Any

from playwright.async_api import Page

from tests.support.npm import installed


async def faults_of(page: Page) -> list[tuple[str, list[str]]]:
    """Return each violated rule, with the HTML of the elements that violate it."""
    # Without a background in the page's styles axe assumes white, whatever the browser paints.
    await page.evaluate("""() => {
      const { style } = document.documentElement;
      if (!style.background) style.background = "Canvas";
    }""")
    axe = (installed() / "axe-core" / "axe.min.js").read_text()
    found: Any = await page.evaluate(f"{axe}; axe.run()")
    return [
        (fault["id"], [node["html"] for node in fault["nodes"]]) for fault in found["violations"]
    ]
