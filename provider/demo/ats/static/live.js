// Replaces the parts of the page that have changed, without a reload.
const INTERVAL_MS = 1500;
const lastHtml = new Map();
for (const part of document.querySelectorAll("[data-live]")) lastHtml.set(part.id, part.innerHTML);

async function refresh() {
  const response = await fetch(location.href);
  if (!response.ok) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  for (const [id, html] of lastHtml) {
    const fresh = page.getElementById(id);
    // The page's own HTML changes when a reader opens details, so the last answer is compared.
    if (!fresh || fresh.innerHTML === html) continue;
    lastHtml.set(id, fresh.innerHTML);
    document.getElementById(id).replaceChildren(...fresh.childNodes);
  }
}

async function refreshForever() {
  if (document.visibilityState === "visible") await refresh().catch(() => {}); // the demo has ended
  setTimeout(refreshForever, INTERVAL_MS);
}

setTimeout(refreshForever, INTERVAL_MS);
