"""`make screenshots`: takes the README's pictures in the running demo."""

import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from provider.demo.candidate import KNOWN_ANSWERS, Candidate
from tests.conftest import CHROMIUM_FLAGS, CHROMIUM_PATH
from tests.demo.running_demo import RunningDemo, running_demo

SCREENSHOT_FOLDER = Path(__file__).parent / "screenshots"
PHONE_VIEWPORT = {"width": 390, "height": 740}
DESKTOP_VIEWPORT = {"width": 1200, "height": 740}


def main() -> None:
    SCREENSHOT_FOLDER.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        running_demo("--folder", folder) as demo,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=CHROMIUM_PATH, args=CHROMIUM_FLAGS)
        _take_screenshots(browser, demo)
        browser.close()


def _take_screenshots(browser: Browser, demo: RunningDemo) -> None:
    ats = _open_page(browser, DESKTOP_VIEWPORT)
    invitation = _order_test(ats, demo, "tomas-ibarra")
    _capture_question(_open_page(browser, PHONE_VIEWPORT), invitation)
    Candidate(_order_test(ats, demo, "lakita-marrero")).take_test(KNOWN_ANSWERS)
    ats.goto(f"{demo.address('The ATS')}candidates/lakita-marrero")
    report_link = ats.get_by_role("link", name="Open the report")
    report_link.wait_for()
    _save_screenshot(ats, "ats")
    report = _open_page(browser, DESKTOP_VIEWPORT)
    report.goto(report_link.get_attribute("href") or "")
    _save_screenshot(report, "report")
    _capture_order(_open_page(browser, DESKTOP_VIEWPORT), demo)


def _order_test(page: Page, demo: RunningDemo, candidate: str) -> str:
    """Order a test in the ATS, and return the candidate's link from the inbox."""
    page.goto(f"{demo.address('The ATS')}candidates/{candidate}/order/assessment")
    page.get_by_label("Numerical Reasoning").check()
    page.get_by_role("button", name="Order").click()
    page.get_by_role("link", name="inbox", exact=True).click()
    page.get_by_role("link", name="your test for Operations Manager").click()
    link = page.get_by_role("link", name="Open the link as the candidate")
    return link.get_attribute("href") or ""


def _capture_question(page: Page, invitation: str) -> None:
    page.goto(invitation)
    page.locator("form[action$='/start'] button").click()
    page.goto(page.url.replace("/items/1", "/items/6"))
    page.locator("input[type=radio]").nth(2).check()
    page.wait_for_load_state("networkidle")
    _save_screenshot(page, "candidate")


def _capture_order(page: Page, demo: RunningDemo) -> None:
    """Sign in to the console, and open the order of the first candidate."""
    email, password = demo.sign_in()
    page.goto(demo.address("The console"))
    page.locator("input[type=email]").fill(email)
    page.locator("input[type=password]").fill(password)
    page.locator("input[type=password]").press("Enter")
    page.get_by_role("link", name="Orders").first.click()
    page.get_by_role("link", name="Lakita Marrero").first.click()
    page.wait_for_url("**/console/orders/*")
    _save_screenshot(page, "console")


def _open_page(browser: Browser, viewport: dict[str, int]) -> Page:
    context = browser.new_context(
        viewport={"width": viewport["width"], "height": viewport["height"]}, color_scheme="light"
    )
    return context.new_page()


def _save_screenshot(page: Page, name: str) -> None:
    path = SCREENSHOT_FOLDER / f"{name}.png"
    page.screenshot(path=path)
    print(f"{path.relative_to(Path.cwd())}  {path.stat().st_size // 1024} kB")


if __name__ == "__main__":
    main()
