// Saves the answer to one question as it is given, and says so always in the same place.

const WAITS = [1000, 2000, 4000, 8000, 15000]; // milliseconds between tries; the last repeats
const TYPING = 700; // milliseconds of rest after which what was typed is saved
const PATIENCE = 10000; // milliseconds that one try may take
const WORDS = {
  saving: "Saving…",
  saved: "Saved",
  unsaved: "Not saved yet",
  trying: "Not saved – we keep trying",
  refused: "Not saved",
  locked: "Not saved – please open the link in your e-mail again",
};

/** Save `form` whenever it changes; `onTime` is told the seconds left by the server's clock. */
export function keepSaving(form, { onTime }) {
  const state = document.querySelector("[data-saved]");
  const said = document.querySelector("[data-saved-announce]");
  const error = form.querySelector("[data-error]");
  const fields = [...form.querySelectorAll("[name=answer]")];
  let version = 0; // counts changes, so that a reply to an older one does not hide a newer
  let saved = 0;
  let going = null; // where the pressed button leads once all is saved
  let loud = false; // whether a mistake is shown now, or only when the field is left
  let busy = false;
  let leaving = false;
  let typing = null;
  let wake = () => {};

  function show(name) {
    const before = state.dataset.saved;
    state.dataset.saved = name;
    state.textContent = WORDS[name];
    // Spoken only where something is wrong or right again: not at every press of a key.
    if (["trying", "locked"].includes(name) && before !== name) said.textContent = WORDS[name];
    if (name === "saved" && said.textContent) said.textContent = WORDS.saved;
  }

  function tell(message) {
    error.textContent = message;
    for (const field of fields) {
      field.classList.toggle("is-invalid", Boolean(message));
      field.setAttribute("aria-invalid", String(Boolean(message)));
    }
  }

  function change(delay) {
    version += 1;
    // From here the form speaks for itself: see `untouched` on the server.
    form.querySelectorAll("[name=shown]").forEach((input) => input.remove());
    clearTimeout(typing);
    if (delay) show("unsaved");
    typing = setTimeout(flush, delay);
  }

  function flush() {
    clearTimeout(typing);
    wake();
    if (!busy) work();
  }

  async function work() {
    busy = true;
    for (let tries = 0; version > saved || going; ) {
      const sent = version;
      const heading = going;
      if (version > saved && !tries) show("saving");
      const reply = await post(form, heading);
      if (leaving) return;
      if (reply.again) {
        show("trying");
        await rest(WAITS[Math.min(tries++, WAITS.length - 1)]);
        continue;
      }
      tries = 0;
      if (reply.stop) {
        stop(reply);
        break;
      }
      saved = sent;
      onTime(reply.seconds_left);
      tell("");
      if (version > saved || going !== heading) continue;
      show("saved");
      if (heading) return leave(reply.next);
    }
    busy = false;
  }

  function stop({ status, error: message, next, reload }) {
    going = null;
    if (status === 409) leave(next, true);
    else if (reload) submitPlainly();
    else if (status !== 400) show("locked");
    else if (!loud) show("unsaved");
    else {
      show("refused");
      tell(message);
      fields[0].focus();
    }
  }

  // The form's proof has gone stale: the server gives a new page that keeps what was typed.
  function submitPlainly() {
    leaving = true;
    form.submit();
  }

  function rest(milliseconds) {
    return new Promise((resolve) => {
      wake = resolve;
      setTimeout(resolve, milliseconds);
    });
  }

  function leave(url, replace = false) {
    leaving = true;
    if (replace) location.replace(url);
    else location.assign(url);
    return true;
  }

  form.addEventListener("input", (event) => {
    if (event.target.type !== "text") return;
    loud = false;
    change(TYPING);
  });
  form.addEventListener("change", () => {
    loud = true;
    change(0);
  });
  form.addEventListener("submit", (event) => {
    // An older browser does not tell which button was pressed: then the form goes its plain way.
    leaving = !("submitter" in event);
    if (leaving) return;
    event.preventDefault();
    loud = true;
    going = event.submitter?.value || "next";
    flush();
  });
  addEventListener("online", flush);
  document.addEventListener("visibilitychange", () => document.hidden && flush());
  addEventListener("beforeunload", (event) => {
    if (version > saved && !leaving) event.preventDefault();
  });
  return {
    flush: () => version > saved && flush(),
    leave: (url) => leave(url, true),
  };
}

/** Try once; `again` when it may work later, `stop` when it will not. */
async function post(form, going) {
  const body = new FormData(form);
  body.set("go", going || "");
  const headers = { Accept: "application/json", "X-CSRFToken": body.get("csrf_token") };
  const signal = AbortSignal.timeout?.(PATIENCE);
  try {
    const request = { method: "POST", body, headers, signal, keepalive: true };
    const response = await fetch(form.action, request);
    if (response.status >= 500 || response.status === 429) return { again: true };
    const reply = await response.json();
    return response.ok ? reply : { ...reply, stop: true, status: response.status };
  } catch {
    return { again: true };
  }
}
