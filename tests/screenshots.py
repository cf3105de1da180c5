"""`make screenshots`: makes the README's pictures of a server that runs the demo."""

import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from provider.demo import scenario
from provider.demo.ats import DemoAts, PlacedOrder
from provider.demo.candidate import KNOWN_ANSWERS, Candidate
from provider.demo.console_output import ConsoleOutput
from provider.demo.server import DemoServer
from tests.conftest import CHROMIUM_FLAGS, CHROMIUM_PATH

SCREENSHOT_FOLDER = Path(__file__).parent / "screenshots"
STAFF_EMAIL, STAFF_PASSWORD = "sam@groove-tech.test", "correct horse battery"
PHONE_VIEWPORT = {"width": 390, "height": 800}
DESKTOP_VIEWPORT = {"width": 1200, "height": 700}


def main() -> None:
    SCREENSHOT_FOLDER.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        DemoServer(Path(folder), ConsoleOutput()) as server,
        DemoAts() as ats,
        sync_playwright() as playwright,
    ):
        orders = _prepare_demo(server, ats)
        browser = playwright.chromium.launch(executable_path=CHROMIUM_PATH, args=CHROMIUM_FLAGS)
        _take_screenshots(browser, server, ats, orders)
        browser.close()


def _prepare_demo(server: DemoServer, ats: DemoAts) -> list[PlacedOrder]:
    server.run_command("init")
    server.run_command("seed")
    account = server.create_account("Groove Tech", "workable", ats.host, ats.callback_token)
    server.run_command("account", "set", "Groove Tech", "timezone=Europe/Athens")
    server.run_command(
        "staff", "create", STAFF_EMAIL, "--role", "admin", "--password-stdin", stdin=STAFF_PASSWORD
    )
    server.start()
    ats.connect(server.url, account["token"])
    return scenario.place_orders(ats, server, ConsoleOutput(), second_test=True)


def _take_screenshots(
    browser: Browser, server: DemoServer, ats: DemoAts, orders: list[PlacedOrder]
) -> None:
    lakita, _, _, tomas = orders
    _capture_question(_open_page(browser, PHONE_VIEWPORT), tomas)
    Candidate(lakita.link).take_test(KNOWN_ANSWERS)
    report = ats.callbacks.get(timeout=30).body["results_url"]
    _capture_page(_open_page(browser, DESKTOP_VIEWPORT), report, "report")
    console = _open_page(browser, DESKTOP_VIEWPORT)
    _sign_in(console, server.url)
    _capture_page(console, f"{server.url}/console/orders/{lakita.id}", "console")
    _capture_page(_open_page(browser, DESKTOP_VIEWPORT), f"{server.url}/docs/", "docs")


def _capture_question(page: Page, order: PlacedOrder) -> None:
    page.goto(order.link)
    page.locator("form[action$='/start'] button").click()
    page.goto(page.url.replace("/items/1", "/items/6"))
    page.locator("input[type=radio]").nth(2).check()
    page.wait_for_load_state("networkidle")
    _save_screenshot(page, "candidate")


def _sign_in(page: Page, url: str) -> None:
    page.goto(f"{url}/console/")
    page.locator("input[type=email]").fill(STAFF_EMAIL)
    page.locator("input[type=password]").fill(STAFF_PASSWORD)
    page.locator("input[type=password]").press("Enter")
    page.wait_for_url("**/console/orders**")


def _open_page(browser: Browser, viewport: dict[str, int]) -> Page:
    context = browser.new_context(
        viewport={"width": viewport["width"], "height": viewport["height"]}, color_scheme="light"
    )
    return context.new_page()


def _capture_page(page: Page, url: str, name: str) -> None:
    response = page.goto(url)
    assert response
    assert response.ok, f"{name}: {response.status}"
    _save_screenshot(page, name)


def _save_screenshot(page: Page, name: str) -> None:
    path = SCREENSHOT_FOLDER / f"{name}.png"
    page.screenshot(path=path)
    print(f"{path.relative_to(Path.cwd())}  {path.stat().st_size // 1024} kB")


if __name__ == "__main__":
    main()
