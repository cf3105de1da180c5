// The forms of documents: a file is sent as soon as it is chosen, with its progress, or taken with
// the camera of a phone. Without scripts each form has a button.

for (const form of document.querySelectorAll("[data-document]")) prepare(form);

function prepare(form) {
  const field = form.querySelector("input[type=file]");
  const choice = form.querySelector("select");
  const send = form.querySelector("[data-send]");
  const camera = form.querySelector("[data-camera]");
  const error = form.querySelector("[data-error]");
  const progress = form.querySelector("[data-progress]");
  const status = form.querySelector("[data-status]");
  let chosen = null; // the file to send
  send.hidden = true;

  field.addEventListener("change", () => take(field.files[0]));
  choice?.addEventListener("change", () => chosen && sendFile());
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (chosen) sendFile();
  });

  if (window.matchMedia("(pointer: coarse)").matches) {
    camera.hidden = false;
    camera.addEventListener("click", () => {
      // A field of its own: with `capture` a phone offers no other files.
      const shutter = document.createElement("input");
      shutter.type = "file";
      shutter.accept = "image/jpeg,image/png,image/webp";
      shutter.setAttribute("capture", "environment");
      shutter.addEventListener("change", () => take(shutter.files[0]));
      shutter.click();
    });
  }

  function take(file) {
    if (!file) return;
    chosen = file;
    if (file.size > Number(field.dataset.maxBytes)) return refuse(field.dataset.tooLarge);
    if (choice && !choice.value) {
      // The file stays chosen: it is sent when the candidate says which document it is.
      error.textContent = field.dataset.choose;
      choice.focus();
      return;
    }
    sendFile();
  }

  function sendFile() {
    const fields = new FormData(form);
    fields.set("file", chosen, chosen.name);
    const request = new XMLHttpRequest();
    request.open("POST", form.action);
    request.setRequestHeader("Accept", "application/json");
    request.responseType = "json";
    request.upload.addEventListener("progress", (event) => {
      progress.value = event.loaded / event.total;
      if (event.loaded === event.total) status.textContent = status.dataset.reading;
    });
    request.addEventListener("load", () => {
      const reply = request.response ?? {};
      if (request.status < 300 && reply.next) return show(reply.next);
      if (reply.csrf_token && form.csrf_token.value !== reply.csrf_token) {
        form.csrf_token.value = reply.csrf_token; // the page was open for too long
        sendFile();
        return;
      }
      refuse(reply.error || field.dataset.failed);
    });
    for (const name of ["error", "abort", "timeout"]) {
      request.addEventListener(name, () => refuse(field.dataset.failed));
    }
    error.textContent = "";
    status.textContent = status.dataset.sending;
    progress.hidden = false;
    progress.value = 0;
    field.disabled = camera.disabled = true;
    request.send(fields);
  }

  function refuse(text) {
    chosen = null;
    field.value = "";
    field.disabled = camera.disabled = false;
    progress.hidden = true;
    status.textContent = "";
    error.textContent = text;
  }
}

/** Open the page anew, also where only its anchor differs. */
function show(url) {
  const target = new URL(url, location.href);
  const isSamePage = target.pathname === location.pathname;
  location.replace(target);
  if (isSamePage) location.reload();
}
