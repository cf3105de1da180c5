// One question of an interview: time to think, the recording, and its upload until it is saved.

import { loadValue, saveValue } from "./candidate-storage.js";
import { TEXTS } from "./candidate-texts.js";
import {
  closeCamera,
  createRecorder,
  enableButtons,
  openCamera,
  showPreview,
  showProblem,
} from "./interview-camera.js";
import { countDown } from "./interview-countdown.js";
import { fetchQuestion } from "./interview-show.js";
import { listen } from "./interview-sound.js";
import { keepTake, loadTake } from "./interview-store.js";
import { sendTake } from "./interview-upload.js";
import { watchRecording } from "./interview-watch.js";

const root = document.querySelector("[data-interview]");
const find = (selector) => root.querySelector(selector);
const step = (name) => find(`[data-step="${name}"]`);
const button = (name) => find(`[data-action="${name}"]`);
const { uploadUrl, csrf } = root.dataset;
const thinkSecondsLeft = Number(root.dataset.thinkSecondsLeft); // 0: over, or not begun
const answerSeconds = Number(root.dataset.answerSeconds);
const maxTakeBytes = Number(root.dataset.maxTakeBytes);
const maxPieceBytes = Number(root.dataset.maxPieceBytes);
const JUST_SAVED_KEY = `${location.pathname}#saved`;

let stream = null;
let listener = null;
let watch = null;
let isRetake = Boolean(step("saved")); // the candidate knows the question and begins by hand
let recordedTake = null; // one that the candidate should look at before it is sent
let recorder = null;
let isUnsaved = false;
let countdown = null;
let endThinking = null; // what follows the time to think, while it runs
let upload = null;
let keptTake = null; // what this device keeps of the take until it is saved

async function show() {
  showProblem(root);
  countdown?.stop();
  endThinking = null;
  for (const name of ["ready", "saved", "review"]) step(name)?.setAttribute("hidden", "");
  try {
    stream = await openCamera();
    for (const track of stream.getTracks()) track.addEventListener("ended", handleDeviceLost);
  } catch (problem) {
    return showProblem(root, String(problem));
  }
  let thinkSeconds = 0;
  if (!isRetake) {
    try {
      const shown = await fetchQuestion(root.dataset);
      find("[data-question]").innerHTML = shown.question;
      thinkSeconds = shown.think_seconds_left;
    } catch (problem) {
      return showQuestionProblem(problem);
    }
  }
  showLive();
  if (isRetake) announce(TEXTS.pressRecord);
  else if (thinkSeconds) countThinkTime(thinkSeconds, record);
  else record();
}

function showLive() {
  step("kept")?.setAttribute("hidden", "");
  step("live").hidden = false;
  showPreview(root, stream);
  listener = listen(root, stream);
  find("[data-live]").classList.remove("is-live");
  find("[data-recording-sign]").hidden = true;
  button("record").hidden = false;
  button("stop").hidden = true;
  const question = find("[data-question]");
  question.hidden = false;
  question.tabIndex = -1;
  question.focus();
}

function countThinkTime(seconds, onEnd) {
  endThinking = onEnd;
  countdown = countDown(root, seconds, {
    label: TEXTS.timeToThink,
    warnings: [[10, TEXTS.tenSecondsUntilStart]],
    onEnd,
  });
}

// The clock of a sleeping device may stand still. The server's time to think goes on.
async function correctThinkTime() {
  if (document.hidden || !endThinking) return;
  const onEnd = endThinking;
  const shown = await fetchQuestion(root.dataset).catch(() => null); // else the countdown goes on
  if (!shown || endThinking !== onEnd) return;
  countdown.stop();
  if (shown.think_seconds_left) countThinkTime(shown.think_seconds_left, onEnd);
  else onEnd();
}

function showQuestionProblem({ text, next }) {
  closeCamera(stream);
  step("ready").hidden = false;
  find("[data-show-failed]").hidden = false;
  find("[data-show-failed-text]").textContent = text;
  const link = find("[data-show-next]");
  link.hidden = !next;
  if (next) link.href = next;
}

// An unplugged camera ends the recording here; otherwise its first part would be lost.
function handleDeviceLost() {
  if (recorder?.state === "recording") return stop();
  countdown?.stop();
  endThinking = null;
  listener?.stop();
  closeCamera(stream);
  step("live").hidden = true;
  showProblem(root, "stopped");
}

function record() {
  countdown?.stop();
  endThinking = null;
  const chunks = [];
  try {
    recorder = createRecorder(stream);
    keptTake = keepTake(location.pathname);
    recorder.addEventListener("dataavailable", ({ data }) => {
      if (!data.size) return;
      chunks.push(data);
      keptTake.add(data);
    });
    recorder.addEventListener("stop", () => finishRecording(chunks));
    recorder.addEventListener("error", stop);
    recorder.start(1000);
  } catch {
    return handleDeviceLost();
  }
  isUnsaved = true;
  watch = watchRecording(root, stream, listener);
  find("[data-live]").classList.add("is-live");
  find("[data-recording-sign]").hidden = false;
  button("record").hidden = true;
  button("stop").hidden = false;
  button("stop").focus();
  const thirtySeconds = [30, TEXTS.thirtySecondsLeft];
  const tenSeconds = [10, TEXTS.tenSecondsLeft];
  countdown = countDown(root, answerSeconds, {
    label: TEXTS.timeLeft,
    warnings: answerSeconds > 60 ? [thirtySeconds, tenSeconds] : [tenSeconds],
    onEnd: stop,
  });
  setSaveState("recording", TEXTS.recording);
  announce(TEXTS.recording);
}

function stop() {
  countdown?.stop();
  if (recorder?.state === "recording") recorder.stop();
}

function finishRecording(chunks) {
  const problems = watch.stop();
  listener.stop();
  closeCamera(stream);
  const type = recorder.mimeType || chunks[0]?.type || "video/webm";
  const blob = new Blob(chunks, { type });
  step("live").hidden = true;
  announce(TEXTS.stopped);
  if (blob.size && problems.reasons.length) return review(blob, problems);
  send(blob);
}

// The candidate has opened this question before and not continued yet.
function showThinkTimeOver() {
  endThinking = null;
  find("[data-think-note]").textContent = TEXTS.thinkTimeOver;
  announce(TEXTS.thinkTimeOver);
}

// A recording that is silent or has gaps is sent only when the candidate has seen the reason.
function review(blob, { isSilent, reasons }) {
  recordedTake = blob;
  step("review").hidden = false;
  const title = find("[data-review-title]");
  title.textContent = isSilent ? TEXTS.heardNothing : TEXTS.wasInterrupted;
  const others = reasons.filter((reason) => reason !== title.textContent);
  find("[data-review-text]").textContent = others.join(" ");
  find("[data-review-replay]").src = URL.createObjectURL(blob);
  setSaveState("trying", TEXTS.notSavedYet);
  title.focus();
}

function sendReviewed() {
  find("[data-review-replay]").pause();
  step("review").hidden = true;
  send(recordedTake);
}

async function recordAgain() {
  find("[data-review-replay]").pause();
  await keptTake.forget();
  recordedTake = null;
  isUnsaved = false;
  isRetake = true;
  setSaveState("", TEXTS.notRecorded);
  return show();
}

// From here on a reload sends the take; before, it asks the candidate.
function send(blob) {
  keptTake.finish();
  step("uploading").hidden = false;
  find("[data-upload-title]").focus();
  if (!blob.size) return showUploadProblem(TEXTS.nothingRecorded, true);
  if (blob.size > maxTakeBytes) return showUploadProblem(TEXTS.tooLarge, true);
  isUnsaved = true;
  find("[data-replay]").src = URL.createObjectURL(blob);
  setSaveState("saving", TEXTS.saving);
  const options = { url: uploadUrl, csrf, maxPieceBytes, onProgress, onProblem: showUploadProblem };
  upload = sendTake(blob, options);
  upload.saved
    .then(() => keptTake.forget())
    .then(showSaved, () => showUploadProblem(TEXTS.cannotCheck, true));
}

// A take that a reload interrupted: a whole one is sent, and the candidate decides about a part.
function goOnWith(take) {
  if (!take || stream) return;
  if (!take.isFinished && !step("kept")) return take.forget();
  keptTake = take;
  for (const name of ["ready", "saved"]) step(name)?.setAttribute("hidden", "");
  if (take.isFinished) {
    find("[data-note]").textContent = TEXTS.goingOn;
    announce(TEXTS.goingOn);
    return send(take.blob);
  }
  step("kept").hidden = false;
  find("[data-kept-replay]").src = URL.createObjectURL(take.blob);
  find("[data-kept-title]").focus();
}

function sendKept() {
  step("kept").hidden = true;
  send(keptTake.blob);
}

async function discardKept() {
  await keptTake.forget();
  location.reload();
}

function onProgress(share) {
  find("[data-failed]").hidden = true;
  find("[data-upload-progress]").value = share * 100;
  find("[data-upload-text]").textContent = share < 1 ? `${Math.floor(share * 100)} %` : TEXTS.checking;
  setSaveState("saving", TEXTS.saving);
}

function showUploadProblem(message, isFinal, nextUrl) {
  const wasHidden = find("[data-failed]").hidden;
  setSaveState("trying", isFinal ? TEXTS.notSaved : TEXTS.trying);
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
  button("retry-upload").hidden = isFinal;
  find("[data-failed]").hidden = false;
  find("[data-upload-text]").textContent = "";
  if (isFinal) {
    isUnsaved = false;
    keptTake.forget();
  }
  if (isFinal && wasHidden) find("[data-give-up]").focus();
}

// The page reloads to show the saved takes, but not while the candidate watches the answer.
function showSaved() {
  isUnsaved = false;
  const replay = find("[data-replay]");
  setSaveState("saved", TEXTS.saved);
  find("[data-upload-text]").textContent = TEXTS.saved;
  find("[data-upload-progress]").value = 100;
  find("[data-upload-title]").textContent = TEXTS.answerSaved;
  saveValue(JUST_SAVED_KEY, "yes");
  const reload = () => location.replace(location.pathname);
  if (replay.paused) return reload();
  replay.addEventListener("pause", reload);
}

function setSaveState(state, text) {
  const stateElement = find("[data-saved]");
  stateElement.dataset.saved = state;
  stateElement.textContent = text;
}

function announce(text) {
  find("[data-announce]").textContent = text;
}

const ACTIONS = {
  show,
  retry: show,
  record,
  stop,
  "retry-upload": () => upload?.retryNow(),
  "send-kept": sendKept,
  "discard-kept": discardKept,
  "send-reviewed": sendReviewed,
  "record-again": recordAgain,
};
root.addEventListener("click", ({ target }) => {
  const name = target.closest("[data-action]")?.dataset.action;
  ACTIONS[name]?.();
});
enableButtons(root);
loadTake(location.pathname).then(goOnWith);
if (thinkSecondsLeft) countThinkTime(thinkSecondsLeft, showThinkTimeOver);
document.addEventListener("visibilitychange", correctThinkTime);
addEventListener("beforeunload", (event) => isUnsaved && event.preventDefault());
addEventListener("pageshow", (event) => event.persisted && location.reload());
if (loadValue(JUST_SAVED_KEY)) {
  saveValue(JUST_SAVED_KEY, null);
  announce(TEXTS.saved);
  find('[data-step="saved"] .steps a')?.focus();
}
