"""Looks at pages for every eye: nothing that axe finds, nothing cut off, nothing blocked.

What axe finds depends on the width and on the colours, and on nothing else of a look: so each width
is looked at wholly once, and in its other colours for the colours alone.
"""

from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import ConsoleMessage, Page

COLOURS = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
WIDTHS = (1280, 768, 360)
Look = tuple[int, Any, dict[str, Any]]
LOOKS: tuple[Look, ...] = (
    (360, "dark", COLOURS),
    (360, "light", RULES),
    (1280, "light", COLOURS),
    (1280, "dark", RULES),
)
# For pages that have much the same parts as others that are looked at in every way.
BOTH_ENDS: tuple[Look, ...] = ((360, "light", RULES), (1280, "dark", RULES))
DESK: tuple[Look, ...] = ((1280, "dark", COLOURS), (1280, "light", RULES))


class Eye:
    """Collects the flaws of all pages it is shown, and all that the console says in between."""

    def __init__(self, page: Page, looks: tuple[Look, ...] = LOOKS) -> None:
        self.page, self.looks = page, looks
        self.found: list[str] = []
        page.on("pageerror", lambda error: self.found.append(f"script: {error}"))
        page.on("console", self._hear)
        page.emulate_media(reduced_motion="reduce")

    def look(self, name: str = "") -> None:
        """Look at the page as it stands."""
        self.page.wait_for_load_state()
        where = name or self.page.url
        for width in WIDTHS:
            self.page.set_viewport_size({"width": width, "height": 800})
            if self.page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                self.found.append(f"{where}: wider than {width} px")
        self.page.evaluate(AXE_SCRIPT)
        for width, scheme, rules in self.looks:
            self.page.set_viewport_size({"width": width, "height": 800})
            self.page.emulate_media(color_scheme=scheme)
            self._judge(f"{where} {width} {scheme}", rules)

    def _judge(self, where: str, rules: dict[str, Any]) -> None:
        asked = rules | {"resultTypes": ["violations"]}
        for flaw in self.page.evaluate("rules => axe.run(rules).then(it => it.violations)", asked):
            nodes = [node["html"][:200] for node in flaw["nodes"]]
            self.found.append(f"{where}: {flaw['id']} {nodes}")

    def _hear(self, said: ConsoleMessage) -> None:
        # A browser also notes there that the page itself was refused, or that a test cut the line.
        if said.location.get("url") != self.page.url and "net::ERR_FAILED" not in said.text:
            self.found.append(f"console: {said.text}")
