// One question of an interview: time to think, the recording, and its upload until it is saved.

import { loadValue, saveValue } from "./candidate-storage.js";
import { TEXTS } from "./candidate-texts.js";
import {
  closeCamera,
  enableButtons,
  offerSoundOnly,
  openCamera,
  showPreview,
  showProblem,
} from "./interview-camera.js";
import { awaitCheck, watchChecks } from "./interview-checked.js";
import { countDown } from "./interview-countdown.js";
import { becomeOnlyRecorder } from "./interview-lock.js";
import { fetchQuestion } from "./interview-show.js";
import { listen } from "./interview-sound.js";
import { loadTake } from "./interview-store.js";
import { recordTake, resumeTake } from "./interview-take.js";
import { announce, createUploadView, setSaveState } from "./interview-upload-view.js";
import { watchRecording } from "./interview-watch.js";

const root = document.querySelector("[data-interview]");
const find = (selector) => root.querySelector(selector);
const step = (name) => find(`[data-step="${name}"]`);
const button = (name) => find(`[data-action="${name}"]`);
const soundOnly = root.dataset.answer === "audio";
const thinkSecondsLeft = Number(root.dataset.thinkSecondsLeft); // 0: over, or not begun
const answerSeconds = Number(root.dataset.answerSeconds);
const maxTakeBytes = Number(root.dataset.maxTakeBytes);
const interviewPath = location.pathname.replace(/questions\/.*/, "");
const target = {
  url: root.dataset.uploadUrl,
  csrf: root.dataset.csrf,
  maxPieceBytes: Number(root.dataset.maxPieceBytes),
};
const JUST_SAVED_KEY = `${location.pathname}#saved`;
const view = createUploadView(root);

let stream = null;
let listener = null;
let watch = null;
let isRetake = Boolean(step("saved")); // the candidate knows the question and begins by hand
let take = null; // the one that is recorded, looked at or sent
let recorded = null; // its blob, while the candidate looks at it
let isSending = false; // the whole take, after its end
let problem = null; // of the upload, while the take is recorded: message, is it final, next URL
let isUnsaved = false;
let countdown = null;
let endThinking = null; // what follows the time to think, while it runs

const observers = {
  onProgress(sent, size) {
    if (isSending) return view.showProgress(sent, size);
    problem = null;
    if (take?.isRecording?.()) setSaveState(root, "recording", TEXTS.recording);
  },
  onProblem(message, isFinal, nextUrl) {
    if (isSending) return showUploadProblem(message, isFinal, nextUrl);
    problem = [message, isFinal, nextUrl];
    if (!take?.isRecording?.()) return;
    if (isFinal) stop();
    else setSaveState(root, "recording", TEXTS.recordingOffline);
  },
};

async function show() {
  showProblem(root);
  countdown?.stop();
  endThinking = null;
  if (!(await becomeOnlyRecorder(interviewPath))) return showProblem(root, "elsewhere");
  for (const name of ["ready", "saved", "review"]) step(name)?.setAttribute("hidden", "");
  try {
    stream = await openCamera({ soundOnly, onNoAnswer: () => showProblem(root, "waiting") });
    showProblem(root);
    for (const track of stream.getTracks()) track.addEventListener("ended", handleDeviceLost);
  } catch (name) {
    return showProblem(root, String(name));
  }
  let thinkSeconds = 0;
  if (!isRetake) {
    try {
      const shown = await fetchQuestion(root.dataset);
      find("[data-question]").innerHTML = shown.question;
      thinkSeconds = shown.think_seconds_left;
    } catch (reason) {
      return showQuestionProblem(reason);
    }
  }
  showLive();
  // Without a limit of the time to think, the candidate begins by hand.
  if (isRetake || thinkSeconds === null) announce(root, TEXTS.pressRecord);
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
    label: onEnd === record ? TEXTS.recordingStartsIn : TEXTS.timeToThink,
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
  if (take?.isRecording?.()) return stop();
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
  problem = null;
  isSending = false;
  try {
    take = recordTake(stream, target, observers, finishRecording);
  } catch {
    return handleDeviceLost();
  }
  isUnsaved = true;
  watch = watchRecording(root, stream, listener, take.chunkCount);
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
  setSaveState(root, "recording", TEXTS.recording);
  announce(root, TEXTS.recording);
}

function stop() {
  countdown?.stop();
  take?.stop();
}

function finishRecording(blob) {
  countdown?.stop(); // a recorder can stop by itself
  const problems = watch.stop();
  listener.stop();
  closeCamera(stream);
  step("live").hidden = true;
  announce(root, TEXTS.stopped);
  if (blob.size && problems.reasons.length && !problem?.[1]) return review(blob, problems);
  send(blob);
}

// The candidate has opened this question before and not continued yet.
function showThinkTimeOver() {
  endThinking = null;
  find("[data-think-note]").textContent = TEXTS.thinkTimeOver;
  announce(root, TEXTS.thinkTimeOver);
}

// A recording that is silent or has gaps counts only when the candidate has seen the reason.
function review(blob, { isSilent, reasons }) {
  recorded = blob;
  step("review").hidden = false;
  const title = find("[data-review-title]");
  title.textContent = isSilent ? TEXTS.heardNothing : TEXTS.wasInterrupted;
  const others = reasons.filter((reason) => reason !== title.textContent);
  find("[data-review-text]").textContent = others.join(" ");
  find("[data-review-replay]").src = URL.createObjectURL(blob);
  setSaveState(root, "trying", TEXTS.notSavedYet);
  title.focus();
}

function sendReviewed() {
  find("[data-review-replay]").pause();
  step("review").hidden = true;
  send(recorded);
}

async function recordAgain() {
  find("[data-review-replay]").pause();
  await take.forget();
  take = recorded = null;
  isUnsaved = false;
  isRetake = true;
  setSaveState(root, "", TEXTS.notRecorded);
  return show();
}

// From here on a reload sends the take; before, it asks the candidate.
function send(blob) {
  view.begin(blob);
  if (!blob.size) return showUploadProblem(TEXTS.nothingRecorded, true);
  if (blob.size > maxTakeBytes) return showUploadProblem(TEXTS.tooLarge, true);
  if (problem) showUploadProblem(...problem);
  if (problem?.[1]) return;
  isUnsaved = isSending = true;
  const sent = take;
  sent.finish().then(
    async ({ upload }) => {
      await sent.forgetKept();
      isUnsaved = false;
      awaitCheck(upload);
      saveValue(JUST_SAVED_KEY, "yes");
      view.showSaved(() => location.replace(location.pathname));
    },
    // A mistake of this page: the device keeps the take for the next visit.
    () => view.showProblem(TEXTS.cannotCheck, true),
  );
}

// A take that a reload interrupted: a whole one is sent, and the candidate decides about a part.
async function goOnWith(kept) {
  if (!kept || stream) return;
  if (!kept.isFinished && !step("kept")) return kept.forget();
  for (const name of ["ready", "saved"]) step(name)?.setAttribute("hidden", "");
  if (!(await becomeOnlyRecorder(interviewPath))) return showProblem(root, "elsewhere");
  take = resumeTake(kept, target, observers);
  if (take.isFinished) {
    find("[data-note]").textContent = TEXTS.goingOn;
    announce(root, TEXTS.goingOn);
    return send(take.blob);
  }
  step("kept").hidden = false;
  find("[data-kept-replay]").src = URL.createObjectURL(take.blob);
  find("[data-kept-title]").focus();
}

function sendKept() {
  step("kept").hidden = true;
  send(take.blob);
}

async function discardKept() {
  await take.forget();
  location.reload();
}

function showUploadProblem(message, isFinal, nextUrl) {
  view.showProblem(message, isFinal, nextUrl);
  if (!isFinal) return;
  isUnsaved = false;
  take?.forgetKept();
}

// Another tab may have ended meanwhile: the page begins anew, with the take that this device keeps.
function retry() {
  if (find('[data-problem="elsewhere"]').hidden) return show();
  location.reload();
}

function showBroken(question) {
  if (question === location.pathname) return location.reload();
  find("[data-broken]").hidden = false;
  find("[data-broken-link]").href = question;
}

const ACTIONS = {
  show,
  retry,
  record,
  stop,
  "retry-upload": () => take?.retryNow(),
  "send-kept": sendKept,
  "discard-kept": discardKept,
  "send-reviewed": sendReviewed,
  "record-again": recordAgain,
};
root.addEventListener("click", ({ target: clicked }) => {
  const name = clicked.closest("[data-action]")?.dataset.action;
  ACTIONS[name]?.();
});
enableButtons(root);
offerSoundOnly(root, retry);
loadTake(location.pathname).then(goOnWith);
if (thinkSecondsLeft) countThinkTime(thinkSecondsLeft, showThinkTimeOver);
watchChecks(showBroken, () => stream !== null);
document.addEventListener("visibilitychange", correctThinkTime);
addEventListener("beforeunload", (event) => isUnsaved && event.preventDefault());
addEventListener("pageshow", (event) => event.persisted && location.reload());
if (loadValue(JUST_SAVED_KEY)) {
  saveValue(JUST_SAVED_KEY, null);
  announce(root, TEXTS.saved);
  find('[data-step="saved"] .steps a')?.focus();
}
