// The file that answers a question: it is sent as soon as it is chosen, a larger one in pieces. A
// picture that is too large is made smaller first. Without scripts the same form has a button.

import { TEXTS } from "./candidate-texts.js";
import { canSendPieces, sendPieces } from "./candidate-file-pieces.js";

const MAX_PIXELS = 2400; // of the longer side of a picture that is made smaller
const JPEG_QUALITY = 0.85;

/** Send the file of `form` when one is chosen. */
export function sendChosenFile(form) {
  const field = form.querySelector("input[type=file]");
  const button = form.querySelector("[data-send]");
  const error = form.querySelector("[data-error]");
  const progress = form.querySelector("[data-progress]");
  const state = document.querySelector("[data-saved]");
  const { maxBytes, formBytes, pieceBytes } = field.dataset;
  let pressed = null; // the button that was pressed while the file was on its way
  let isSending = false;
  button.hidden = true;

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
    if (canSendPieces && smaller.size > Number(pieceBytes)) {
      await sendLarge(smaller);
      return;
    }
    if (smaller !== file) putFile(field, smaller);
    form.requestSubmit ? form.requestSubmit(button) : button.click();
  });

  // A button that is pressed meanwhile does its work after the file has arrived.
  form.addEventListener("submit", (event) => {
    if (!isSending) return;
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
      if (pressed) pressed.click();
      else location.replace(next);
    } catch (problem) {
      if (problem.next) location.replace(problem.next);
      isSending = field.disabled = false;
      pressed = null;
      progress.hidden = true;
      showError(problem.message);
    }
  }

  function showError(text) {
    error.textContent = text;
    state.textContent = TEXTS.refused;
    field.value = "";
  }
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
