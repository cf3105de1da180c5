// Saves the form of an entry while its author writes, and shows the preview of what was saved. The
// form's buttons work without this script.

const form = document.querySelector("form[data-autosave]");
const SAVE_DELAY_MS = 1200;

if (form) {
  const state = document.querySelector("[data-save-state]");
  const frame = document.querySelector("[data-preview]");
  const missing = document.querySelector("[data-preview-missing]");
  let timer, saving = Promise.resolve(), isStopped = false, isDirty = false;

  form.addEventListener("input", () => {
    if (isStopped) return;
    isDirty = true;
    state.textContent = "Not saved yet";
    clearTimeout(timer);
    // One save after the other: each carries the digest that the one before returned.
    timer = setTimeout(() => { saving = saving.then(save); }, SAVE_DELAY_MS);
  });
  // A file is sent once. The page shows the one that is stored, and its name goes with each save.
  function showFiles(reply) {
    for (const [name, file] of Object.entries(reply.files ?? {})) {
      const field = form.querySelector(`[data-file="${name}"]`);
      field.querySelector("input[type=hidden]").value = file.name;
      field.querySelector("[data-file-name]").textContent = file.name;
      field.querySelector(".editor-file-now").hidden = false;
      const shown = field.querySelector("[data-file-shown]");
      shown.hidden = false;
      shown.src = file.url;
      const drop = field.querySelector("[data-drop-file]");
      if (drop) drop.checked = false;
    }
    for (const input of form.querySelectorAll("input[type=file]")) input.value = "";
  }

  form.addEventListener("submit", () => { clearTimeout(timer); isStopped = true; });
  // The last words before the author leaves the page are sent while it closes.
  addEventListener("pagehide", () => {
    if (!isDirty || isStopped) return;
    const body = new FormData(form);
    // A beacon has room for 64 kB, so it takes no file.
    for (const input of form.querySelectorAll("input[type=file]")) body.delete(input.name);
    navigator.sendBeacon(form.action, body);
  });

  async function save() {
    if (isStopped) return;
    const body = new FormData(form);
    isDirty = false;
    let reply;
    try {
      const response = await fetch(form.action, { method: "POST", body, headers: { Accept: "application/json" } });
      reply = response.headers.get("Content-Type")?.includes("json")
        ? await response.json()
        : { error: "Not saved: sign in again in another tab, then press “Save”" };
    } catch {
      isDirty = true;
      state.textContent = "Not saved: no connection. It is tried again with your next change";
      return;
    }
    if (reply.error) {
      isStopped = true; // the author decides now; the buttons still work
      state.textContent = reply.error;
      state.classList.add("is-problem");
      return;
    }
    form.elements.seen.value = reply.seen;
    showFiles(reply);
    const [problem] = Object.values(reply.problems ?? {});
    state.textContent = problem ?? reply.state;
    state.classList.toggle("is-problem", Boolean(problem));
    await showPreview().catch(() => {});
    await showUsualValues().catch(() => {});
  }

  // Another type has other usual values, and other fields. The server builds them.
  async function showUsualValues() {
    const shown = form.querySelector("[data-decides]");
    if (!shown || shown.value === document.getElementById(shown.dataset.decides).value) return;
    const response = await fetch(location.pathname);
    if (!response.ok || isDirty || isStopped) return;
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const focusedId = document.activeElement?.id;
    form.querySelector("[data-fields]").replaceWith(page.querySelector("[data-fields]"));
    if (focusedId) document.getElementById(focusedId)?.focus();
  }

  // An error beside a field stays as long as the list of problems leads to the field.
  function hideMendedErrors() {
    for (const error of form.querySelectorAll(".field-error")) {
      const id = error.id.replace(/-error$/, "");
      if (document.querySelector(`#entry-problems a[href="#${id}"]`)) continue;
      const field = document.getElementById(id);
      field?.removeAttribute("aria-invalid");
      field?.setAttribute("aria-describedby", (field.getAttribute("aria-describedby") ?? "").replace(error.id, "").trim());
      error.remove();
    }
  }

  async function showPreview() {
    const response = await fetch(form.dataset.previewUrl, { headers: { Accept: "application/json" } });
    if (!response.ok) return;
    const reply = await response.json();
    document.querySelector("#entry-problems").outerHTML = reply.problems;
    hideMendedErrors();
    const note = document.querySelector("[data-preview-note]");
    note.textContent = reply.note;
    note.hidden = !reply.note;
    frame.hidden = !reply.preview;
    missing.hidden = Boolean(reply.preview);
    frame.srcdoc = reply.preview;
  }
}
