"""Looks at pages for every eye: nothing that axe finds, nothing cut off, nothing blocked.

What axe finds depends on the width and on the colours, and on nothing else of a look: so each width
is looked at wholly once, and in its other colours for the colours alone.
"""

from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import ConsoleMessage, Page

CONTRAST_RULES = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}
AXE_RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
VIEWPORT_WIDTHS = (1280, 768, 360)
PageVariant = tuple[int, Any, dict[str, Any]]
ALL_VARIANTS: tuple[PageVariant, ...] = (
    (360, "dark", CONTRAST_RULES),
    (360, "light", AXE_RULES),
    (1280, "light", CONTRAST_RULES),
    (1280, "dark", AXE_RULES),
)
# For pages that have much the same parts as others that are looked at in every way.
EXTREME_VARIANTS: tuple[PageVariant, ...] = ((360, "light", AXE_RULES), (1280, "dark", AXE_RULES))
DESKTOP_VARIANTS: tuple[PageVariant, ...] = (
    (1280, "dark", CONTRAST_RULES),
    (1280, "light", AXE_RULES),
)


class AccessibilityChecker:
    """Collects the flaws of all pages it is shown, and all that the console says in between."""

    def __init__(self, page: Page, variants: tuple[PageVariant, ...] = ALL_VARIANTS) -> None:
        self.page, self.variants = page, variants
        self.problems: list[str] = []
        page.on("pageerror", lambda error: self.problems.append(f"script: {error}"))
        page.on("console", self._record_console_message)
        page.emulate_media(reduced_motion="reduce")

    def check_page(self, name: str = "") -> None:
        """Look at the page as it stands."""
        self.page.wait_for_load_state()
        where = name or self.page.url
        for width in VIEWPORT_WIDTHS:
            self.page.set_viewport_size({"width": width, "height": 800})
            if self.page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                self.problems.append(f"{where}: wider than {width} px")
        self.page.evaluate(AXE_SCRIPT)
        for width, scheme, rules in self.variants:
            self.page.set_viewport_size({"width": width, "height": 800})
            self.page.emulate_media(color_scheme=scheme)
            self._run_axe(f"{where} {width} {scheme}", rules)

    def _run_axe(self, location: str, rules: dict[str, Any]) -> None:
        asked = rules | {"resultTypes": ["violations"]}
        for flaw in self.page.evaluate("rules => axe.run(rules).then(it => it.violations)", asked):
            nodes = [node["html"][:200] for node in flaw["nodes"]]
            self.problems.append(f"{location}: {flaw['id']} {nodes}")

    def _record_console_message(self, message: ConsoleMessage) -> None:
        # A browser also notes there that the page itself was refused, or that a test cut the line.
        if message.location.get("url") != self.page.url and "net::ERR_FAILED" not in message.text:
            self.problems.append(f"console: {message.text}")
