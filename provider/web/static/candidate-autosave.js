// Saves the answer to one question as the candidate gives it. The save state is always shown in the
// same place. The names of the states are keys of TEXTS.

import { showReading } from "./candidate-number.js";
import { TEXTS } from "./candidate-texts.js";

const RETRY_DELAYS_MS = [1000, 2000, 4000, 8000, 15000]; // the last one repeats
const TYPING_DELAY_MS = 700; // without a key press, after which a typed answer is saved
const REQUEST_TIMEOUT_MS = 10000;

/**
 * Save `form` whenever it changes. `onSecondsLeft` is called with the seconds left, by the server's
 * clock, after every save.
 */
export function startAutosave(form, { onSecondsLeft }) {
  const state = document.querySelector("[data-saved]");
  const announcement = document.querySelector("[data-saved-announce]");
  const error = form.querySelector("[data-error]");
  const fields = [...form.querySelectorAll("[name=answer]")];
  let version = 0; // counts changes, so that the reply to an older one does not hide a newer one
  let savedVersion = 0;
  let target = null; // the pressed button's value: the page to open once everything is saved
  let showErrors = false; // true when the field was left; half-typed input shows no error
  let isSaving = false;
  let isLeaving = false;
  let typingTimer = null;
  let endWait = () => {};

  function showState(name) {
    const previous = state.dataset.saved;
    state.dataset.saved = name;
    state.textContent = TEXTS[name];
    // A screen reader hears a problem and its end, not every key press.
    if (["trying", "locked"].includes(name) && previous !== name) {
      announcement.textContent = TEXTS[name];
    }
    if (name === "saved" && announcement.textContent) announcement.textContent = TEXTS.saved;
  }

  function showError(message) {
    error.textContent = message;
    for (const field of fields) {
      field.classList.toggle("is-invalid", Boolean(message));
      field.setAttribute("aria-invalid", String(Boolean(message)));
    }
  }

  function scheduleSave(delay) {
    version += 1;
    // The server ignores a form that equals its `shown` fields; this one was changed on purpose.
    form.querySelectorAll("[name=shown]").forEach((input) => input.remove());
    clearTimeout(typingTimer);
    if (delay) showState("unsaved");
    typingTimer = setTimeout(flush, delay);
  }

  function flush() {
    clearTimeout(typingTimer);
    endWait();
    if (!isSaving) saveAll();
  }

  async function saveAll() {
    isSaving = true;
    for (let attempts = 0; version > savedVersion || target; ) {
      const sentVersion = version;
      const sentTarget = target;
      if (version > savedVersion && !attempts) showState("saving");
      const reply = await post(form, sentTarget);
      if (isLeaving) return;
      if (reply.retry) {
        showState("trying");
        await wait(RETRY_DELAYS_MS[Math.min(attempts++, RETRY_DELAYS_MS.length - 1)]);
        continue;
      }
      attempts = 0;
      if (reply.stop) {
        stop(reply);
        break;
      }
      savedVersion = sentVersion;
      onSecondsLeft(reply.seconds_left);
      showError("");
      if (version > savedVersion || target !== sentTarget) continue;
      showState("saved");
      showReading(form, reply);
      if (reply.stay) target = null;
      else if (sentTarget) return leave(reply.next);
    }
    isSaving = false;
  }

  function stop({ status, error: message, next, reload, kept }) {
    target = null;
    if (status === 409) leave(next, true);
    else if (reload) submitForm();
    else if (status !== 400) showState("locked");
    else if (!showErrors) showState("unsaved");
    else {
      showState(kept ? "kept" : "refused");
      showReading(form, {});
      showError(message);
      fields[0].focus();
    }
  }

  // The CSRF token has expired. The server answers with a new page that has the typed answer in it.
  function submitForm() {
    isLeaving = true;
    form.submit();
  }

  function wait(milliseconds) {
    return new Promise((resolve) => {
      endWait = resolve;
      setTimeout(resolve, milliseconds);
    });
  }

  function leave(url, replace = false) {
    isLeaving = true;
    if (replace) location.replace(url);
    else location.assign(url);
    return true;
  }

  form.addEventListener("input", (event) => {
    if (event.target.type !== "text") return;
    showErrors = false;
    scheduleSave(TYPING_DELAY_MS);
  });
  form.addEventListener("change", () => {
    showErrors = true;
    scheduleSave(0);
  });
  form.addEventListener("submit", (event) => {
    // An old browser does not report the pressed button; it sends the form the usual way.
    isLeaving = !("submitter" in event);
    if (isLeaving) return;
    event.preventDefault();
    showErrors = true;
    target = event.submitter?.value || "next";
    flush();
  });
  addEventListener("online", flush);
  document.addEventListener("visibilitychange", () => document.hidden && flush());
  addEventListener("beforeunload", (event) => {
    if (version > savedVersion && !isLeaving) event.preventDefault();
  });
  return {
    flush: () => version > savedVersion && flush(),
    leave: (url) => leave(url, true),
  };
}

/** Send the form once. The reply has `retry` when it may work later, `stop` when it will not. */
async function post(form, target) {
  const body = new FormData(form);
  body.set("go", target || "");
  const headers = { Accept: "application/json", "X-CSRFToken": body.get("csrf_token") };
  const signal = AbortSignal.timeout?.(REQUEST_TIMEOUT_MS);
  try {
    const request = { method: "POST", body, headers, signal, keepalive: true };
    const response = await fetch(form.action, request);
    if (response.status >= 500 || response.status === 429) return { retry: true };
    const reply = await response.json();
    return response.ok ? reply : { ...reply, stop: true, status: response.status };
  } catch {
    return { retry: true };
  }
}
