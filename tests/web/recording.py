"""The recording of an answer that a browser keeps until it is sent."""

from playwright.sync_api import Page

COUNT_KEPT_CHUNKS_SCRIPT = """() => new Promise(resolve => {
    indexedDB.open("interview-takes").onsuccess = ({target}) => {
        const chunks = target.result.transaction("chunks").objectStore("chunks");
        chunks.count().onsuccess = ({target}) => resolve(target.result);
    };
})"""


def count_kept_chunks(page: Page) -> int:
    """Return how many chunks of a recording the page keeps."""
    count: int = page.evaluate(COUNT_KEPT_CHUNKS_SCRIPT)
    return count


def wait_for_chunk(page: Page, timeout_seconds: float = 20.0) -> None:
    """Wait until there is something to save; a busy machine encodes its first picture late.

    `wait_for_function` would not wait for the answer of the database.
    """
    for _ in range(int(timeout_seconds * 10)):
        if count_kept_chunks(page):
            return
        page.wait_for_timeout(100)  # milliseconds; the page's scripts run meanwhile
    raise AssertionError(f"nothing recorded within {timeout_seconds} s")
