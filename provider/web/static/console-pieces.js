// Sends a large file of the editor in pieces, and puts its name into the form, which then saves
// itself. A form alone has room for 2 MB: without this script a larger file is refused.

const PIECE_BYTES = 1024 * 1024;
const MAX_FORM_BYTES = 1_900_000; // the form has other fields, too
const RETRY_DELAYS_MS = [1000, 2000, 4000, 8000, 15000];

// The editor's own script sends files with the form. It must not see a large one.
document.addEventListener("input", keepFromForm, true);
document.addEventListener("change", keepFromForm, true);

function keepFromForm(event) {
  const input = event.target;
  if (!input.dataset?.piecesUrl) return;
  const [file] = input.files;
  if (file && file.size <= MAX_FORM_BYTES) return;
  event.stopPropagation();
  if (event.type !== "change" || !file) return;
  input.value = "";
  send(input, file);
}

async function send(input, file) {
  const field = input.closest("[data-file]");
  const box = field.querySelector("[data-upload-progress]");
  const [progress, text] = [box.querySelector("progress"), box.querySelector("[role=status]")];
  box.hidden = false;
  input.disabled = true;
  progress.hidden = false;
  function tell(message, share) {
    text.textContent = message;
    progress.value = share;
  }
  try {
    const maxBytes = Number(input.dataset.maxBytes);
    if (file.size > maxBytes) throw new Error(`This file is larger than ${maxBytes / 1e6} MB. Choose a smaller one.`);
    tell("Sending the file…", 0);
    const base = input.dataset.piecesUrl;
    const { upload } = await post(base, null);
    for (let start = 0; start < file.size; start += PIECE_BYTES) {
      const piece = await file.slice(start, start + PIECE_BYTES).arrayBuffer();
      await post(`${base}/${upload}/${start}`, piece);
      tell(`Sending the file: ${Math.round((100 * start) / file.size)} %`, start / file.size);
    }
    tell("Checking the file…", 1);
    const stored = await post(`${base}/${upload}`, new URLSearchParams({ name: file.name, size: file.size }));
    show(field, stored);
    tell("The file is stored.", 1);
  } catch (error) {
    tell(error.message, 0);
  }
  progress.hidden = true;
  input.disabled = false;
}

/** Send a request, again after a lost connection; throws an Error with a sentence. */
async function post(url, body) {
  const token = document.querySelector("form[data-autosave], form.editor-form").elements.csrf_token.value;
  const headers = { Accept: "application/json", "X-CSRFToken": token };
  if (body instanceof ArrayBuffer) headers["Content-Type"] = "application/octet-stream";
  for (const delay of [...RETRY_DELAYS_MS, null]) {
    let response = null;
    try {
      response = await fetch(url, { method: "POST", body, headers });
    } catch {
      // The line is cut: try again.
    }
    if (response && response.status < 500 && response.status !== 429) {
      const isJson = response.headers.get("Content-Type")?.includes("json");
      if (!isJson) throw new Error("Not sent: sign in again in another tab, then choose the file again.");
      const reply = await response.json();
      if (!response.ok) throw new Error(reply.error || "Not sent: choose the file again.");
      return reply;
    }
    if (delay === null) break;
    await new Promise((resolve) => setTimeout(resolve, delay));
  }
  throw new Error("Not sent: no connection. Choose the file again when it is back.");
}

function show(field, { name, url }) {
  const hidden = field.querySelector("input[type=hidden]");
  hidden.value = name;
  field.querySelector("[data-file-name]").textContent = name;
  field.querySelector(".editor-file-now").hidden = false;
  const shown = field.querySelector("[data-file-shown]");
  shown.hidden = false;
  shown.src = url;
  const drop = field.querySelector("[data-drop-file]");
  if (drop) drop.checked = false;
  hidden.dispatchEvent(new Event("input", { bubbles: true })); // the form saves itself
}
