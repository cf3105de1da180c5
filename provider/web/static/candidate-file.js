// The file that answers a question: it is sent as soon as it is chosen. A picture of a camera that is
// too large is made smaller first. Without scripts the same form has a button.

import { TEXTS } from "./candidate-texts.js";

const MAX_PIXELS = 2400; // of the longer side of a picture that is made smaller
const JPEG_QUALITY = 0.85;

/** Send the file of `form` when one is chosen. */
export function sendChosenFile(form) {
  const field = form.querySelector("input[type=file]");
  const button = form.querySelector("[data-send]");
  const error = form.querySelector("[data-error]");
  const state = document.querySelector("[data-saved]");
  button.hidden = true;

  field.addEventListener("change", async () => {
    const file = field.files[0];
    if (!file) return;
    const maxBytes = Number(field.dataset.maxBytes);
    const smaller = file.size > maxBytes ? await makeSmaller(file) : file;
    if (!smaller || smaller.size > maxBytes) {
      error.textContent = field.dataset.tooLarge;
      field.value = "";
      return;
    }
    if (smaller !== file) putFile(field, smaller);
    error.textContent = "";
    state.textContent = TEXTS.saving;
    form.requestSubmit ? form.requestSubmit(button) : button.click();
  });
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
