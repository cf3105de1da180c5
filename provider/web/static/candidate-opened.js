// Tells the server once that a person has used the invitation, and the time zone for the e-mails to
// her. Scanners of e-mails load the page and run its scripts, but they neither touch it nor press a
// key nor move the pointer.

const ACTS = ["pointermove", "pointerdown", "touchstart", "wheel", "keydown"];
const marker = document.querySelector("[data-opened-url]");
const listening = new AbortController();
let firstPosition = null; // of the pointer

// Browsers report once to a new page where the pointer rests, even without a person at them.
function isMoved(event) {
  const position = `${event.screenX},${event.screenY}`;
  firstPosition ??= position;
  return position !== firstPosition;
}

function report(event) {
  if (!event.isTrusted || document.visibilityState !== "visible") return;
  if (event.type === "pointermove" && !isMoved(event)) return;
  listening.abort();
  const headers = { Accept: "application/json", "X-CSRFToken": marker.dataset.csrf };
  const body = new URLSearchParams({ timezone: Intl.DateTimeFormat().resolvedOptions().timeZone });
  // A failure is no loss: starting or declining records the same.
  fetch(marker.dataset.openedUrl, { method: "POST", headers, body, keepalive: true }).catch(() => {});
}

for (const act of ACTS) {
  addEventListener(act, report, { signal: listening.signal, passive: true });
}
