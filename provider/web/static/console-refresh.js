// Replaces each element that has `data-refresh-url` by the server's newer rendering of it, every
// `data-refresh-seconds`, until the new element has no such address. A hidden page asks nothing.

function refreshLater(element) {
  if (!element.dataset.refreshUrl) return;
  setTimeout(() => refresh(element), element.dataset.refreshSeconds * 1000);
}

async function refresh(element) {
  if (document.hidden) {
    document.addEventListener("visibilitychange", () => refresh(element), { once: true });
    return;
  }
  const newer = await load(element.dataset.refreshUrl).catch(() => undefined);
  if (newer === null) return; // signed out, or the page is gone: nothing to ask any more
  // Moving nothing that is read just now: an equal rendering is left alone.
  if (newer && newer.outerHTML !== element.outerHTML) element.replaceWith(newer);
  refreshLater(newer ?? element);
}

// Returns the new element; null when the server has none; throws without a network.
async function load(url) {
  const response = await fetch(url, { redirect: "manual" });
  if (response.status >= 500) throw new Error(`status ${response.status}`);
  if (!response.ok) return null;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  return document.adoptNode(page.body.firstElementChild);
}

document.querySelectorAll("[data-refresh-url]").forEach(refreshLater);
