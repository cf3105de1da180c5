// Shows how far a take is saved: the progress, a problem, and “Saved” only when the server says so.

import { TEXTS } from "./candidate-texts.js";

/** Show the save state at the top of the page; `state` chooses its colour. */
export function setSaveState(root, state, text) {
  const element = root.querySelector("[data-saved]");
  element.dataset.saved = state;
  element.textContent = text;
}

export function announce(root, text) {
  root.querySelector("[data-announce]").textContent = text;
}

/** Return functions that show the upload of a take in `root`. */
export function createUploadView(root) {
  const find = (selector) => root.querySelector(selector);

  function begin(blob) {
    find('[data-step="uploading"]').hidden = false;
    find("[data-upload-title]").focus();
    find("[data-replay]").src = URL.createObjectURL(blob);
    setSaveState(root, "saving", TEXTS.saving);
  }

  function showProgress(sent, size) {
    const percent = size ? Math.floor((sent / size) * 100) : 0;
    find("[data-failed]").hidden = true;
    find("[data-upload-progress]").value = percent;
    find("[data-upload-text]").textContent = sent < size ? `${percent} %` : TEXTS.checking;
    setSaveState(root, "saving", TEXTS.saving);
  }

  function showProblem(message, isFinal, nextUrl) {
    const wasHidden = find("[data-failed]").hidden;
    setSaveState(root, "trying", isFinal ? TEXTS.notSaved : TEXTS.trying);
    find("[data-note]").hidden = isFinal;
    find("[data-failed-title]").textContent = isFinal
      ? TEXTS.answerNotSaved
      : TEXTS.answerNotSavedYet;
    find("[data-failed-text]").textContent = message;
    find("[data-give-up]").hidden = !isFinal;
    if (nextUrl) {
      find("[data-give-up]").href = nextUrl;
      find("[data-give-up]").textContent = TEXTS.seeStatus;
    }
    find('[data-action="retry-upload"]').hidden = isFinal;
    find("[data-failed]").hidden = false;
    find("[data-upload-text]").textContent = "";
    if (isFinal && wasHidden) find("[data-give-up]").focus();
  }

  // The page reloads to show the saved takes, but not while the candidate watches the answer.
  function showSaved(onSeen) {
    const replay = find("[data-replay]");
    setSaveState(root, "saved", TEXTS.saved);
    find("[data-failed]").hidden = true;
    find("[data-upload-text]").textContent = TEXTS.saved;
    find("[data-upload-progress]").value = 100;
    find("[data-upload-title]").textContent = TEXTS.answerSaved;
    if (replay.paused) onSeen();
    else replay.addEventListener("pause", onSeen);
  }

  return { begin, showProgress, showProblem, showSaved };
}
