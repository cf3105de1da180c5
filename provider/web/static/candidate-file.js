// The file that answers a question: it is sent as soon as it is chosen, a larger one in pieces. A
// picture that is too large is made smaller first. Without scripts the same form has a button.
// A file in pieces counts even if the time ends meanwhile, so the page waits for it.

import { TEXTS } from "./candidate-texts.js";
import { canSendPieces, sendPieces } from "./candidate-file-pieces.js";

const MAX_PIXELS = 2400; // of the longer side of a picture that is made smaller
const JPEG_QUALITY = 0.85;
const MAX_FORM_BYTES = 100 * 1024; // a form with more may arrive too late, because it comes at once

/**
 * Send the file of `form` when one is chosen. `finish(url)` of the returned object opens `url` when
 * the time is over; a file that is on its way arrives first.
 */
export function sendChosenFile(form) {
  const field = form.querySelector("input[type=file]");
  const button = form.querySelector("[data-send]");
  const error = form.querySelector("[data-error]");
  const progress = form.querySelector("[data-progress]");
  const state = document.querySelector("[data-saved]");
  const rule = form.querySelector("[data-late-rule]");
  const { maxBytes, formBytes, pieceBytes } = field.dataset;
  let pressed = null; // the button that was pressed while the file was on its way
  let isSending = false; // in pieces
  let isPosting = false; // with the form
  let endUrl = null; // the page to open after the end of the time
  button.hidden = true;
  if (rule) rule.hidden = !canSendPieces;

  field.addEventListener("change", async () => {
    const file = field.files[0];
    if (!file) return;
    const limit = Number(canSendPieces ? maxBytes : Math.min(maxBytes, formBytes));
    const smaller = file.size > limit ? await makeSmaller(file) : file;
    if (!smaller || smaller.size > limit) {
      showError(field.dataset.tooLarge);
      return;
    }
    error.textContent = "";
    state.textContent = TEXTS.saving;
    if (canSendPieces && smaller.size > MAX_FORM_BYTES) {
      await sendLarge(smaller);
      return;
    }
    if (smaller !== file) putFile(field, smaller);
    form.requestSubmit ? form.requestSubmit(button) : button.click();
  });

  // A button that is pressed meanwhile does its work after the file has arrived.
  form.addEventListener("submit", (event) => {
    isPosting = !isSending;
    if (isPosting) return;
    event.preventDefault();
    pressed = event.submitter;
  });

  async function sendLarge(file) {
    const fields = new FormData(form);
    field.value = ""; // the form must not send it, too
    field.disabled = isSending = true;
    progress.hidden = false;
    progress.value = 0;
    try {
      const next = await sendPieces(file, {
        url: form.dataset.piecesUrl,
        fields,
        maxPieceBytes: Number(pieceBytes),
        onProgress: (share) => {
          progress.value = share;
          state.textContent = TEXTS.saving;
        },
        onTrouble: () => {
          state.textContent = navigator.onLine ? TEXTS.trying : TEXTS.offline;
        },
      });
      isSending = false;
      if (endUrl) location.replace(endUrl);
      else if (pressed) pressed.click();
      else location.replace(next);
    } catch (problem) {
      if (endUrl || problem.next) location.replace(endUrl || problem.next);
      isSending = field.disabled = false;
      pressed = null;
      progress.hidden = true;
      showError(problem.message);
    }
  }

  function finish(url) {
    endUrl = url;
    if (isSending) {
      const notice = document.querySelector('[data-notice="time"]');
      notice.textContent = TEXTS.fileArriving;
      notice.hidden = false;
    } else if (!isPosting) location.replace(url);
  }

  function showError(text) {
    error.textContent = text;
    state.textContent = TEXTS.refused;
    field.value = "";
  }

  return { finish };
}

/** Return the picture as a smaller JPEG; null for what is no picture. */
async function makeSmaller(file) {
  try {
    const picture = await createImageBitmap(file, { imageOrientation: "from-image" });
    const scale = Math.min(1, MAX_PIXELS / Math.max(picture.width, picture.height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.round(picture.width * scale);
    canvas.height = Math.round(picture.height * scale);
    canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
    const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", JPEG_QUALITY));
    return new File([blob], file.name.replace(/\.[^.]*$/, "") + ".jpg", { type: "image/jpeg" });
  } catch {
    return null;
  }
}

function putFile(field, file) {
  const transfer = new DataTransfer();
  transfer.items.add(file);
  field.files = transfer.files;
}
