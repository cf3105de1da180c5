// Saves the answer to one question as the candidate gives it. The save state is always shown in the
// same place. The names of the states are keys of TEXTS. Each save carries the server's time at which
// the answer was given, so that an older save never overwrites a newer one.

import { showReading } from "./candidate-number.js";
import { TEXTS } from "./candidate-texts.js";

const RETRY_DELAYS_MS = [1000, 2000, 4000, 8000, 15000]; // the last one repeats
const TYPING_DELAY_MS = 700; // without a key press, after which a typed answer is saved
const REQUEST_TIMEOUT_MS = 10000;
const ARRIVAL_GRACE_MS = 10000; // after the end; the server takes what was given before it
const SECONDS_LEFT_TO_SAVE_AT_ONCE = 3;
const MAX_KEEPALIVE_BYTES = 50000; // with room for other requests: browsers allow 64 KiB in total

/** Save `form` whenever it changes. The reply to each save sets `timer`. */
export function startAutosave(form, timer) {
  const state = document.querySelector("[data-saved]");
  const announcement = document.querySelector("[data-saved-announce]");
  const error = form.querySelector("[data-error]");
  const fields = [...form.querySelectorAll('[name="answer"], [name^="answer."]')];
  let answer = readFields("shown");
  let number = Number(form.dataset.number); // of the newest answer: when it was given
  let version = 0; // counts changes, so that the reply to an older one does not hide a newer one
  let savedVersion = 0;
  let target = null; // the pressed button's value: the page to open once everything is saved
  let showErrors = false; // true when the field was left; half-typed input shows no error
  let isSaving = false;
  let isLeaving = false;
  let typingTimer = null;
  let endUrl = null; // the page to open once everything is saved, after the end of the time
  let endWait = () => {};

  function readAnswer() {
    return readFields("answer");
  }

  // Returns the fields `prefix` and `prefix.KEY` as text that differs where an answer differs.
  function readFields(prefix) {
    const entries = [...new FormData(form)]
      .filter(([name, value]) => (name === prefix || name.startsWith(`${prefix}.`)) && value)
      .map(([name, value]) => `${name.slice(prefix.length)}=${value}`);
    return JSON.stringify(entries.sort());
  }

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
    const changedAnswer = readAnswer();
    if (changedAnswer !== answer) {
      answer = changedAnswer;
      version += 1;
      number = Math.max(number + 1, Math.round(timer.now()));
      // The server ignores a form that equals its `shown` fields; this one was changed on purpose.
      form.querySelectorAll("[name^=shown]").forEach((input) => input.remove());
    }
    clearTimeout(typingTimer);
    if (version > savedVersion && delay) showState("unsaved");
    else if (version > savedVersion && !isSaving) showState("saving");
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
      const givenAt = version ? number : Math.max(number + 1, Math.round(timer.now()));
      const reply = await post(form, sentTarget, givenAt);
      if (isLeaving) return;
      if (reply.retry) {
        showState("trying");
        await wait(RETRY_DELAYS_MS[Math.min(attempts++, RETRY_DELAYS_MS.length - 1)]);
        continue;
      }
      attempts = 0;
      if (reply.standing) {
        timer.sync(reply);
        number = Math.max(number, reply.number);
        if (version > sentVersion) continue;
        showStanding(reply);
        break;
      }
      if (reply.stop) {
        stop(reply);
        break;
      }
      savedVersion = sentVersion;
      timer.sync(reply);
      showError("");
      if (version > savedVersion || target !== sentTarget) continue;
      showState("saved");
      showReading(form, reply);
      if (reply.stay) target = null;
      else if (sentTarget) return leave(reply.next);
    }
    isSaving = false;
    if (endUrl && version === savedVersion) leave(endUrl, true);
  }

  // A newer answer was saved elsewhere. It stands, and the candidate may change it.
  function showStanding({ standing, error: message }) {
    target = null;
    for (const field of fields) {
      const values = standing.filter(([name]) => name === field.name).map(([, value]) => value);
      if (isOption(field)) field.checked = values.includes(field.value);
      else field.value = values[0] ?? "";
    }
    form.dispatchEvent(new Event("standing"));
    answer = readAnswer();
    savedVersion = version;
    showError("");
    error.textContent = message;
    showState("saved");
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

  /** Take no more input at the end of the time, and save what was given in time. */
  function showSecondsLeft(seconds) {
    form.inert = seconds === 0;
    if (seconds <= SECONDS_LEFT_TO_SAVE_AT_ONCE && version > savedVersion) flush();
  }

  /** Open `url` when everything is saved, at the latest when the server takes no more. */
  function finish(url) {
    endUrl = url;
    form.inert = true;
    setTimeout(() => isLeaving || leave(url, true), ARRIVAL_GRACE_MS);
    if (version > savedVersion) flush();
    else if (!isSaving) leave(url, true);
  }

  form.addEventListener("input", (event) => {
    if (!isTyped(event.target)) return;
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
  // On a slow line a candidate answers before this script runs. After a reload, however, a browser
  // fills in its old input, which is not newer than the saved answer.
  const isNewPage = performance.getEntriesByType("navigation")[0]?.type === "navigate";
  if (isNewPage) scheduleSave(0);
  else answer = readAnswer();
  return { showSecondsLeft, finish };
}

function countBytes(body) {
  return [...body].reduce((sum, [name, value]) => sum + new Blob([name, value]).size + 200, 0);
}

function isOption(field) {
  return field.type === "radio" || field.type === "checkbox";
}

function isTyped(field) {
  return field.type === "text" || field.type === "textarea";
}

/** Send the form once. The reply has `retry` when it may work later, `stop` when it will not. */
async function post(form, target, givenAt) {
  const body = new FormData(form);
  body.set("given_at", givenAt);
  body.set("go", target || "");
  const headers = { Accept: "application/json", "X-CSRFToken": body.get("csrf_token") };
  const signal = AbortSignal.timeout?.(REQUEST_TIMEOUT_MS);
  try {
    // A browser refuses a large request that may outlive its page.
    const keepalive = countBytes(body) < MAX_KEEPALIVE_BYTES;
    const request = { method: "POST", body, headers, signal, keepalive };
    const response = await fetch(form.action, request);
    if (response.status >= 500 || response.status === 429) return { retry: true };
    const reply = await response.json();
    return response.ok ? reply : { ...reply, stop: true, status: response.status };
  } catch {
    return { retry: true };
  }
}
