// Reports what the test's landing page announces: that the candidate left the page, copied or pasted
// text, or answered faster than the question can be read. A report has a type, a time and a length,
// never a text. Reports wait in the tab's storage until the server has taken them.

import { pageArrivedAtMs } from "./candidate-clock.js";
import { loadValue, saveValue } from "./candidate-storage.js";

const MIN_AWAY_MS = 2000; // a shorter time away is no signal: a notification, another monitor
const RETRY_DELAY_MS = 10000;
const MAX_EVENTS_PER_REQUEST = 50; // the server takes no more
const MAX_QUEUE_LENGTH = 200;

/** Report the signals of `attempt` to its address. `form` has the question, if there is one. */
export function startSignals(attempt, form, timer) {
  const url = attempt.dataset.signalsUrl;
  if (!url) return;
  const queue = createQueue(url);
  watchAbsence(url, queue, timer);
  watchTexts(queue, timer);
  if (form) watchFirstAnswer(url, form, queue, timer);
}

function createQueue(url) {
  const key = `${url}#queue`;
  const csrfToken = document.querySelector("input[name=csrf_token]")?.value;
  let events = JSON.parse(loadValue(key) || "[]");
  let isSending = false;

  function add(type, atMs, length) {
    const text = `${type}:${Math.round(atMs)}:${Math.max(0, Math.round(length))}`;
    events = [...events, text].slice(0, MAX_QUEUE_LENGTH);
    saveValue(key, JSON.stringify(events));
    send();
  }

  async function send() {
    if (isSending || !events.length) return;
    isSending = true;
    const sent = events.slice(0, MAX_EVENTS_PER_REQUEST);
    const isTaken = await post(sent);
    isSending = false;
    if (!isTaken) return void setTimeout(send, RETRY_DELAY_MS);
    events = events.slice(sent.length);
    saveValue(key, events.length ? JSON.stringify(events) : null);
    send();
  }

  // A refusal counts as taken: the same report would be refused again.
  async function post(sent) {
    const body = new URLSearchParams(sent.map((text) => ["event", text]));
    const headers = { Accept: "application/json", "X-CSRFToken": csrfToken };
    try {
      const response = await fetch(url, { method: "POST", headers, body, keepalive: true });
      return response.status < 500 && response.status !== 429;
    } catch {
      return false;
    }
  }

  addEventListener("online", send);
  send();
  return { add };
}

// The tab remembers since when the candidate is away: a phone may discard a page that nobody sees.
function watchAbsence(url, queue, timer) {
  const key = `${url}#away`;
  let awaySinceMs = Number(loadValue(key)) || null;
  let isUnloading = false;

  function leave() {
    // The dialog for a file takes the focus, too.
    if (awaySinceMs || isUnloading || document.activeElement?.type === "file") return;
    awaySinceMs = timer.now();
    saveValue(key, String(awaySinceMs));
  }

  function comeBack() {
    if (!awaySinceMs || document.hidden || !document.hasFocus()) return;
    const length = timer.now() - awaySinceMs;
    if (length >= MIN_AWAY_MS) queue.add("left", awaySinceMs, length);
    awaySinceMs = null;
    saveValue(key, null);
  }

  document.addEventListener("visibilitychange", () => (document.hidden ? leave() : comeBack()));
  addEventListener("blur", leave);
  addEventListener("focus", comeBack);
  // The next question is a page of its own: a page that is replaced becomes hidden, too.
  addEventListener("pagehide", () => (isUnloading = true));
  comeBack();
}

function watchTexts(queue, timer) {
  let ownText = null; // copied from an answer: the candidate may move it to another place

  function copy({ target }) {
    if (target.matches?.("input, textarea")) {
      ownText = target.value.slice(target.selectionStart, target.selectionEnd);
      return;
    }
    const { length } = String(getSelection());
    if (length) queue.add("copied", timer.now(), length);
  }

  document.addEventListener("copy", copy);
  document.addEventListener("cut", copy);
  document.addEventListener("paste", ({ clipboardData }) => {
    const text = clipboardData?.getData("text") ?? "";
    if (text && text !== ownText) queue.add("pasted", timer.now(), text.length);
  });
}

// Only the first look at a question counts: later the candidate has read it.
function watchFirstAnswer(url, form, queue, timer) {
  const readingMs = Number(form.dataset.readingMs);
  const key = `${url}#seen#${form.action}`;
  if (!readingMs || loadValue(key)) return;
  saveValue(key, "seen");
  const shownAtMs = pageArrivedAtMs();
  form.addEventListener(
    "input",
    () => {
      const length = performance.now() - shownAtMs;
      if (length < readingMs) queue.add("fast", timer.now(), length);
    },
    { once: true },
  );
}
