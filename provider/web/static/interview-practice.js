// The practice question: time to think, recording and replay. The recording stays in this page's
// memory. Nothing is sent or stored, and nothing of it is left when the page is closed.

import { TEXTS } from "./candidate-texts.js";
import {
  closeCamera,
  createRecorder,
  enableButtons,
  offerSoundOnly,
  openCamera,
  showPreview,
  showProblem,
} from "./interview-camera.js";
import { countDown } from "./interview-countdown.js";

const root = document.querySelector("[data-practice]");
const find = (selector) => root.querySelector(selector);
const step = (name) => find(`[data-step="${name}"]`);
const button = (name) => find(`[data-action="${name}"]`);
const announcement = find("[data-announce]");
const replay = find("[data-replay]");
const { answer, thinkSeconds, answerSeconds } = root.dataset;

let stream = null;
let recorder = null;
let countdown = null;

async function begin() {
  showProblem(root);
  for (const name of ["ready", "replay"]) step(name).hidden = true;
  replay.pause();
  try {
    stream = await openCamera({ soundOnly: answer === "audio" });
  } catch (problem) {
    return showProblem(root, String(problem));
  }
  step("live").hidden = false;
  showPreview(root, stream);
  button("record").hidden = false;
  button("stop").hidden = true;
  const question = find("[data-question]");
  question.hidden = false;
  question.focus();
  if (thinkSeconds === "0") return record();
  if (thinkSeconds === "") return announce(TEXTS.pressRecord);
  countdown = countDown(root, Number(thinkSeconds), {
    label: TEXTS.timeToThink,
    warnings: [[10, TEXTS.tenSecondsUntilStart]],
    onEnd: record,
  });
}

function record() {
  countdown?.stop();
  const chunks = [];
  try {
    recorder = createRecorder(stream);
    recorder.addEventListener("dataavailable", ({ data }) => chunks.push(data));
    recorder.addEventListener("stop", () => showReplay(new Blob(chunks, { type: recorder.mimeType })));
    recorder.start();
  } catch {
    closeCamera(stream);
    step("live").hidden = true;
    return showProblem(root, "unsupported");
  }
  for (const track of stream.getTracks()) track.addEventListener("ended", stop);
  setLive(true);
  announce(TEXTS.recording);
  countdown = countDown(root, Number(answerSeconds), {
    label: TEXTS.timeLeft,
    warnings: [[10, TEXTS.tenSecondsLeft]],
    onEnd: stop,
  });
}

function stop() {
  countdown?.stop();
  if (recorder?.state !== "inactive") recorder?.stop();
}

function showReplay(recording) {
  setLive(false);
  closeCamera(stream);
  step("live").hidden = true;
  URL.revokeObjectURL(replay.src);
  replay.src = URL.createObjectURL(recording);
  replay.hidden = !recording.size;
  step("replay").hidden = false;
  find("[data-replay-title]").focus();
  announce(recording.size ? TEXTS.stopped : TEXTS.nothingRecorded);
  const start = document.querySelector("[data-start]");
  start.classList.replace("btn-outline-primary", "btn-primary");
}

function setLive(isLive) {
  find("[data-live]").classList.toggle("is-live", isLive);
  find("[data-recording-sign]").hidden = !isLive;
  button("record").hidden = isLive;
  button("stop").hidden = !isLive;
}

function announce(text) {
  announcement.textContent = text;
}

button("begin").addEventListener("click", begin);
button("again").addEventListener("click", begin);
button("retry").addEventListener("click", begin);
offerSoundOnly(root, begin);
button("record").addEventListener("click", record);
button("stop").addEventListener("click", stop);
addEventListener("pagehide", () => closeCamera(stream));
enableButtons(root);
