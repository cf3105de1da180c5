// Saves each form of a scorecard as it changes. Each save names the save that it is based on, so that
// the server refuses an older one that arrives late, or one from another tab.

const TYPING_DELAY_MS = 800;
const RETRY_DELAY_MS = 3000;
const REQUEST_TIMEOUT_MS = 10000;

function startAutosave(form) {
  const state = form.querySelector("[data-scorecard-state]");
  const basedOn = form.querySelector("[name=based_on]");
  let timer = null;
  let saved = read();
  let isSaving = false;
  let isStopped = false;

  function read() {
    const data = new FormData(form);
    return JSON.stringify([data.get("value"), data.get("note")]);
  }

  function show(text, isProblem = false) {
    state.textContent = text;
    state.classList.toggle("field-error", isProblem);
  }

  function schedule(delay) {
    clearTimeout(timer);
    if (read() === saved || isStopped) return;
    show("");
    timer = setTimeout(save, delay);
  }

  async function save() {
    if (isSaving) return;
    isSaving = true;
    const sent = read();
    const reply = await post(form);
    isSaving = false;
    if (reply.retry) {
      show("Not saved: trying again", true);
      timer = setTimeout(save, RETRY_DELAY_MS);
    } else if (reply.error) {
      isStopped = reply.status !== 400; // a longer text or another value may be saved later
      show(`Not saved. ${reply.error}.`, true);
    } else {
      saved = sent;
      basedOn.value = reply.saved;
      if (read() !== saved) return schedule(0);
      show("Saved");
      const mark = document.querySelector(`[data-state-of="${form.dataset.scorecard}"]`);
      if (mark && new FormData(form).get("value")) mark.textContent = "rated";
      showNextStep();
    }
  }

  form.addEventListener("input", () => schedule(TYPING_DELAY_MS));
  form.addEventListener("change", () => schedule(0));
  // A form that was sent beside a save in progress would be refused as the older one. After a
  // refusal the form is sent the usual way, and the server shows what it has.
  form.addEventListener("submit", (event) => {
    clearTimeout(timer);
    if (isStopped) {
      saved = read();
      return;
    }
    event.preventDefault();
    if (read() === saved && !isSaving) show("Saved");
    else save();
  });
  addEventListener("beforeunload", (event) => {
    if (read() !== saved) event.preventDefault();
  });
}

// The page was rendered before the last answer was rated.
function showNextStep() {
  const forms = [...document.querySelectorAll("[data-scorecard^=question]")];
  const next = document.querySelector("[data-all-rated]");
  if (!next || forms.some((form) => !new FormData(form).get("value"))) return;
  next.hidden = false;
  document.querySelector("[data-unrated]").hidden = true;
}

async function post(form) {
  const body = new FormData(form);
  const headers = { Accept: "application/json", "X-CSRFToken": body.get("csrf_token") };
  const signal = AbortSignal.timeout(REQUEST_TIMEOUT_MS);
  try {
    const response = await fetch(form.action, { method: "POST", body, headers, signal, keepalive: true });
    if (response.status >= 500 || response.status === 429) return { retry: true };
    if (response.redirected) return { error: "You are signed out: reload the page", status: 401 };
    const reply = await response.json().catch(() => ({ error: "Reload the page" }));
    return response.ok ? reply : { error: "Reload the page", ...reply, status: response.status };
  } catch {
    return { retry: true };
  }
}

document.querySelectorAll("[data-scorecard]").forEach(startAutosave);
