"""`make screenshots`: the README's pictures, taken of a server that plays the demo."""

import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from provider.demo import play
from provider.demo.ats import Ats, Placed
from provider.demo.candidate import KNOWS, Candidate
from provider.demo.screen import Screen
from provider.demo.stage import Stage
from tests.conftest import CHROMIUM, FLAGS

FOLDER = Path(__file__).parent / "screenshots"
STAFF, PASSWORD = "sam@groove-tech.test", "correct horse battery"
PHONE = {"width": 390, "height": 800}
DESK = {"width": 1200, "height": 700}


def main() -> None:
    """Take every picture."""
    FOLDER.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        Stage(Path(folder), Screen()) as stage,
        Ats() as ats,
        sync_playwright() as playwright,
    ):
        placed = _prepare(stage, ats)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        _take(browser, stage, ats, placed)
        browser.close()


def _prepare(stage: Stage, ats: Ats) -> list[Placed]:
    stage.command("init")
    stage.command("seed")
    token = stage.account("Groove Tech", ats.host, ats.callback_token)
    stage.command("account", "set", "Groove Tech", "timezone=Europe/Athens")
    stage.command("staff", "create", STAFF, "--role", "admin", "--password-stdin", stdin=PASSWORD)
    stage.serve()
    ats.connect(stage.url, token)
    return play.order_all(ats, stage, Screen(), twice=True)


def _take(browser: Browser, stage: Stage, ats: Ats, placed: list[Placed]) -> None:
    lakita, _, _, tomas = placed
    _question(_page(browser, PHONE), tomas)
    Candidate(lakita.link).take(KNOWS)
    report = ats.puts.get(timeout=30).body["results_url"]
    _shoot(_page(browser, DESK), report, "report")
    desk = _page(browser, DESK)
    _sign_in(desk, stage.url)
    _shoot(desk, f"{stage.url}/console/orders/{lakita.id}", "console")
    _shoot(_page(browser, DESK), f"{stage.url}/docs/", "docs")


def _question(page: Page, order: Placed) -> None:
    page.goto(order.link)
    page.locator("form[action$='/start'] button").click()
    page.goto(page.url.replace("/items/1", "/items/6"))
    page.locator("input[type=radio]").nth(2).check()
    page.wait_for_load_state("networkidle")
    _keep(page, "candidate")


def _sign_in(page: Page, url: str) -> None:
    page.goto(f"{url}/console/")
    page.locator("input[type=email]").fill(STAFF)
    page.locator("input[type=password]").fill(PASSWORD)
    page.locator("input[type=password]").press("Enter")
    page.wait_for_url("**/console/orders**")


def _page(browser: Browser, size: dict[str, int]) -> Page:
    context = browser.new_context(
        viewport={"width": size["width"], "height": size["height"]}, color_scheme="light"
    )
    return context.new_page()


def _shoot(page: Page, url: str, name: str) -> None:
    answer = page.goto(url)
    assert answer
    assert answer.ok, f"{name}: {answer.status}"
    _keep(page, name)


def _keep(page: Page, name: str) -> None:
    path = FOLDER / f"{name}.png"
    page.screenshot(path=path)
    print(f"{path.relative_to(Path.cwd())}  {path.stat().st_size // 1024} kB")


if __name__ == "__main__":
    main()
