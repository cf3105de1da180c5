// One question of an interview: think, record, and stay until the answer is saved.

import { recall, remember } from "./candidate-memory.js";
import {
  closeCamera,
  openCamera,
  preview,
  recorderOf,
  showProblem,
  wakeButtons,
  watchLevel,
} from "./interview-camera.js";
import { countDown } from "./interview-time.js";
import { sendTake } from "./interview-sending.js";

const root = document.querySelector("[data-interview]");
const find = (selector) => root.querySelector(selector);
const step = (name) => find(`[data-step="${name}"]`);
const act = (name) => find(`[data-act="${name}"]`);
const { takes, csrf } = root.dataset;
const [think, answer, most] = [root.dataset.think, root.dataset.answer, root.dataset.most].map(Number);
const again = Boolean(step("saved"));
const JUST_SAVED = `${location.pathname}#saved`;

let stream = null;
let recorder = null;
let unsaved = false;
let clock = null;
let sending = null;

async function show() {
  showProblem(root);
  for (const name of ["ready", "saved"]) step(name)?.setAttribute("hidden", "");
  try {
    stream = await openCamera();
  } catch (problem) {
    return showProblem(root, String(problem));
  }
  stream.getTracks().forEach((track) => track.addEventListener("ended", broken));
  step("live").hidden = false;
  preview(root, stream);
  watchLevel(root, stream);
  const question = find("[data-question]");
  question.hidden = false;
  question.tabIndex = -1;
  question.focus();
  if (again) return say("Press “Record now” when you are ready");
  if (!think) return record();
  clock = countDown(root, think, { word: "Time to think:", warnAt: [10], before: "until the recording starts", onOver: record });
}

// Without this the camera would go on, and a recording would be lost, when a cable is pulled.
function broken() {
  if (recorder?.state === "recording") return stop();
  clock?.stop();
  closeCamera(stream);
  step("live").hidden = true;
  showProblem(root, "stopped");
}

function record() {
  clock?.stop();
  const pieces = [];
  try {
    recorder = recorderOf(stream);
    recorder.addEventListener("dataavailable", ({ data }) => data.size && pieces.push(data));
    recorder.addEventListener("stop", () => keep(pieces));
    recorder.addEventListener("error", stop);
    recorder.start(1000);
  } catch {
    return broken();
  }
  unsaved = true;
  find("[data-live]").classList.add("is-live");
  find("[data-on-air]").hidden = false;
  act("record").hidden = true;
  act("stop").hidden = false;
  act("stop").focus();
  clock = countDown(root, answer, { word: "Recording, time left:", warnAt: answer > 60 ? [30, 10] : [10], before: "left", onOver: stop });
  mark("recording", "Recording");
  say("Recording");
}

function stop() {
  clock?.stop();
  if (recorder?.state === "recording") recorder.stop();
}

function keep(pieces) {
  closeCamera(stream);
  const type = recorder.mimeType || pieces[0]?.type || "video/webm";
  const blob = new Blob(pieces, { type });
  step("live").hidden = true;
  step("sending").hidden = false;
  find("[data-sending-title]").focus();
  say("Recording stopped");
  if (!blob.size) return trouble("Nothing was recorded.", true);
  if (blob.size > most) return trouble("The recording is too large to be kept.", true);
  find("[data-replay]").src = URL.createObjectURL(blob);
  mark("saving", "Saving…");
  sending = sendTake(blob, { url: takes, csrf, onProgress, onTrouble: trouble });
  sending.saved.then(saved, () => trouble("This browser cannot check the recording.", true));
}

function onProgress(share) {
  find("[data-failed]").hidden = true;
  find("[data-sent]").value = share * 100;
  find("[data-sent-word]").textContent = share < 1 ? `${Math.floor(share * 100)} %` : "Checking…";
  mark("saving", "Saving…");
}

function trouble(message, final, next) {
  const wasHidden = find("[data-failed]").hidden;
  mark("trying", final ? "Not saved" : "Not saved – we keep trying");
  find("[data-note]").hidden = final;
  find("[data-failed-title]").textContent = final ? "Your answer could not be saved." : "Your answer is not saved yet.";
  find("[data-failed-word]").textContent = message;
  find("[data-give-up]").hidden = !final;
  if (next) {
    find("[data-give-up]").href = next;
    find("[data-give-up]").textContent = "See how things stand";
  }
  act("again").hidden = final;
  find("[data-failed]").hidden = false;
  find("[data-sent-word]").textContent = "";
  if (final) unsaved = false;
  if (final && wasHidden) find("[data-give-up]").focus();
}

// What is shown next is what the server has; but nobody is interrupted while watching.
function saved() {
  unsaved = false;
  const replay = find("[data-replay]");
  mark("saved", "Saved");
  find("[data-sent-word]").textContent = "Saved";
  find("[data-sent]").value = 100;
  find("[data-sending-title]").textContent = "Your answer is saved";
  remember(JUST_SAVED, "yes");
  const go = () => location.replace(location.pathname);
  if (replay.paused) return go();
  replay.addEventListener("pause", go);
}

function mark(state, words) {
  const place = find("[data-saved]");
  place.dataset.saved = state;
  place.textContent = words;
}

function say(words) {
  find("[data-announce]").textContent = words;
}

root.addEventListener("click", ({ target }) => {
  const name = target.closest("[data-act]")?.dataset.act;
  ({ show, retry: show, record, stop, again: () => sending?.again() })[name]?.();
});
wakeButtons(root);
addEventListener("beforeunload", (event) => unsaved && event.preventDefault());
addEventListener("pageshow", (event) => event.persisted && location.reload());
if (recall(JUST_SAVED)) {
  remember(JUST_SAVED, null);
  say("Saved");
  find('[data-step="saved"] .steps a')?.focus();
}
