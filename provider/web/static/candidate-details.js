// Saves a page of details as the candidate types, so that nothing is lost when she leaves. The
// button does the same without scripts.

import { TEXTS } from "./candidate-texts.js";

const TYPING_DELAY_MS = 1000; // without a key press
const RETRY_DELAY_MS = 5000;

const form = document.querySelector("[data-save-details]");
const state = form.querySelector("[data-saved]");
let timer = null;
let saving = null; // the promise of the save under way
let isChanged = false;
let isLeaving = false;

function schedule(delay) {
  isChanged = true;
  state.textContent = TEXTS.unsaved;
  clearTimeout(timer);
  timer = setTimeout(flush, delay);
}

function flush() {
  clearTimeout(timer);
  if (!isChanged || isLeaving) return;
  if (saving) return void saving.then(flush);
  isChanged = false;
  state.textContent = TEXTS.saving;
  saving = save().finally(() => (saving = null));
}

async function save() {
  const body = new FormData(form);
  body.set("do", "save");
  const headers = { Accept: "application/json", "X-CSRFToken": body.get("csrf_token") };
  try {
    const response = await fetch(location.href, { method: "POST", body, headers, keepalive: true });
    const reply = await response.json();
    if (response.ok) showSaved(reply.shown);
    else state.textContent = reply.error;
  } catch {
    state.textContent = TEXTS.trying;
    isChanged = true;
    timer = setTimeout(flush, RETRY_DELAY_MS);
  }
}

function showSaved(digests) {
  for (const [name, digest] of Object.entries(digests)) {
    form.elements[`shown.${name}`].value = digest;
  }
  if (!isChanged) state.textContent = TEXTS.saved;
}

form.addEventListener("input", () => schedule(TYPING_DELAY_MS));
form.addEventListener("change", () => schedule(0));
document.addEventListener("visibilitychange", () => document.hidden && flush());
// A save under way changes what the server compares this form with: the form waits for it.
form.addEventListener("submit", (event) => {
  clearTimeout(timer);
  if (!saving) return void (isLeaving = true);
  event.preventDefault();
  const { submitter } = event;
  saving.then(() => {
    isChanged = false;
    form.requestSubmit(submitter);
  });
});
