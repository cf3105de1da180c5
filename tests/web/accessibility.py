"""Checks pages for accessibility: axe rules, sideways scrolling, script and console errors.

It also finds classes whose rules `bootstrap_subset` has left out.

The result of axe depends only on the width and the colour scheme.
"""

from functools import cache
from itertools import cycle
from pathlib import Path
from typing import Any

import flask_bootstrap
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import ConsoleMessage, Page

from provider.web.bootstrap_subset import CLASS, keep_used_rules

AXE_RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
AXE_RUN_SCRIPT = "options => axe.run(options).then(results => results.violations)"
VIEWPORT_WIDTHS = (1280, 768, 360)
# The classes of a page with our part of Bootstrap, whose address has a hash.
CLASSES_SCRIPT = """() => document.querySelector("link[href*='bootstrap.min.css?v=']")
    ? [...document.querySelectorAll("[class]")].flatMap(element => [...element.classList]) : []"""
PageVariant = tuple[int, Any, dict[str, Any]]
# Each width and each colour scheme once.
EXTREME_VARIANTS: tuple[PageVariant, ...] = (
    (360, "light", AXE_RULES),
    (1280, "dark", AXE_RULES),
)


def bootstrap_css() -> str:
    """Return the whole style sheet of Bootstrap."""
    folder = Path(flask_bootstrap.__file__).parent / "static/bootstrap5/css"
    return (folder / "bootstrap.min.css").read_text("utf-8")


@cache
def left_out_classes() -> set[str]:
    """Return the classes of Bootstrap that our pages have no rules of."""
    css = bootstrap_css()
    return set(CLASS.findall(css)) - set(CLASS.findall(keep_used_rules(css)))


class AccessibilityChecker:
    """Collects the problems of every checked page, and the console errors in between.

    With `in_turn` each page is checked in one of the variants, the next page in the other: for
    pages that have their parts in common.
    """

    def __init__(
        self,
        page: Page,
        *,
        in_turn: bool = False,
    ) -> None:
        self.page = page
        self._turns = cycle(EXTREME_VARIANTS) if in_turn else None
        self.problems: list[str] = []
        page.on("pageerror", lambda error: self.problems.append(f"script: {error}"))
        page.on("console", self._record_console_message)
        page.emulate_media(reduced_motion="reduce")

    def check_page(self, name: str = "") -> None:
        """Check the current page in every width; `name` appears in the problems."""
        self.page.wait_for_load_state()
        location = name or self.page.url
        for width in VIEWPORT_WIDTHS:
            self.page.set_viewport_size({"width": width, "height": 800})
            if self.page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                self.problems.append(f"{location}: wider than {width} px")
        if lost := left_out_classes() & set(self.page.evaluate(CLASSES_SCRIPT)):
            self.problems.append(f"{location}: Bootstrap's rules of {sorted(lost)} are left out")
        self.page.evaluate(AXE_SCRIPT)
        for width, scheme, rules in [next(self._turns)] if self._turns else EXTREME_VARIANTS:
            self.page.set_viewport_size({"width": width, "height": 800})
            self.page.emulate_media(color_scheme=scheme)
            self._run_axe(f"{location} {width} {scheme}", rules)

    def _run_axe(self, location: str, rules: dict[str, Any]) -> None:
        # Without `preload`: no rule that runs here reads style sheets or media of other hosts.
        options = rules | {"resultTypes": ["violations"], "preload": False}
        for violation in self.page.evaluate(AXE_RUN_SCRIPT, options):
            nodes = [node["html"][:200] for node in violation["nodes"]]
            self.problems.append(f"{location}: {violation['id']} {nodes}")

    def _record_console_message(self, message: ConsoleMessage) -> None:
        # The console also has the error status of the page itself, and requests that a test aborts.
        if message.location.get("url") != self.page.url and "net::ERR_FAILED" not in message.text:
            self.problems.append(f"console: {message.text}")
