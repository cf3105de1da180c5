// The page where the candidate tries camera, microphone and line before an interview.

import { TEXTS } from "./candidate-texts.js";
import {
  closeCamera,
  enableButtons,
  offerSoundOnly,
  openCamera,
  showPreview,
  showProblem,
} from "./interview-camera.js";
import { offerDevices } from "./interview-devices.js";
import { watchInterruptions } from "./interview-interruptions.js";
import { SLOW_LINE_BITS, measureLine } from "./interview-line.js";
import { listen } from "./interview-sound.js";
import { recordTrial } from "./interview-trial.js";

const SILENCE_WARNING_SECONDS = 8;

const root = document.querySelector("[data-camera-check]");
const step = (name) => root.querySelector(`[data-step="${name}"]`);
const trialButton = root.querySelector('[data-action="trial"]');
const soundNote = root.querySelector("[data-sound]");
const announcement = root.querySelector("[data-announce]");
const warning = root.querySelector("[data-watch]");
const { answer, lineUrl, csrf } = root.dataset;

let stream = null;
let listener = null;
let interruptions = null;

async function turnOn() {
  showProblem(root);
  turnOff();
  step("ask").hidden = true;
  try {
    stream = await openCamera({ soundOnly: answer === "audio", onNoAnswer: showWaiting });
  } catch (problem) {
    return showFailure(String(problem));
  }
  showProblem(root);
  for (const track of stream.getTracks()) {
    track.addEventListener("ended", () => showFailure("stopped"));
  }
  step("see").hidden = false;
  showPreview(root, stream);
  showSoundChoice(!stream.getVideoTracks().length);
  let muted = [];
  listener = listen(root, stream, () => showDevices(muted));
  interruptions = watchInterruptions(stream, (names) => (muted = names));
  announcement.textContent = TEXTS.on;
  offerDevices(root, stream, turnOn);
  if (root.querySelector("[data-line]").dataset.line !== "measured") measure();
}

function showSoundChoice(isSoundOnly) {
  const choice = step("see").querySelector("[data-sound-choice]");
  if (!choice) return;
  choice.querySelector('[data-action="sound-only"]').hidden = isSoundOnly;
  choice.querySelector('[data-action="with-camera"]').hidden = !isSoundOnly;
}

function turnOff() {
  interruptions?.stop();
  listener?.stop();
  closeCamera(stream);
}

async function measure() {
  const note = root.querySelector("[data-line]");
  note.dataset.line = "measured";
  const bitsPerSecond = await measureLine(lineUrl, csrf);
  const isSlow = bitsPerSecond < SLOW_LINE_BITS;
  if (bitsPerSecond === null) note.textContent = TEXTS.lineUnknown;
  else note.textContent = isSlow ? TEXTS.lineSlow : TEXTS.lineGood;
}

function showDevices(muted) {
  const isMuted = muted.includes("mutedSound");
  const isSilent = listener?.silentSeconds() >= SILENCE_WARNING_SECONDS;
  if (listener?.isHeard() && soundNote.dataset.sound !== "yes") {
    soundNote.dataset.sound = "yes";
    soundNote.textContent = TEXTS.heard;
  }
  const texts = isMuted || (isSilent && !listener.isHeard()) ? [TEXTS.hearNothing] : [];
  if (muted.includes("mutedPicture")) texts.push(TEXTS.mutedPicture);
  const text = texts.join(" ");
  if (warning.textContent !== text) warning.textContent = text;
  warning.hidden = !text;
}

function showWaiting() {
  showFailure("waiting");
}

function showFailure(problem) {
  step("ask").hidden = step("see").hidden = true;
  showProblem(root, problem);
}

async function tryOut() {
  trialButton.disabled = true;
  await recordTrial(root, stream, (text) => (announcement.textContent = text));
  trialButton.disabled = false;
}

root.querySelector('[data-action="on"]').addEventListener("click", turnOn);
root.querySelector('[data-action="retry"]').addEventListener("click", turnOn);
offerSoundOnly(root, turnOn);
trialButton.addEventListener("click", tryOut);
enableButtons(root);
