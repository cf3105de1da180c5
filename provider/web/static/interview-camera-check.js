// The page where the candidate tries camera and microphone before an interview. It records nothing.

import { TEXTS } from "./candidate-texts.js";
import { enableButtons, openCamera, showPreview, showProblem } from "./interview-camera.js";
import { watchInterruptions } from "./interview-interruptions.js";
import { listen } from "./interview-sound.js";

const SILENCE_WARNING_SECONDS = 8;

const root = document.querySelector("[data-camera-check]");
const step = (name) => root.querySelector(`[data-step="${name}"]`);
const soundNote = root.querySelector("[data-sound]");
const announcement = root.querySelector("[data-announce]");
const warning = root.querySelector("[data-watch]");

async function turnOn() {
  showProblem(root);
  step("ask").hidden = true;
  try {
    const stream = await openCamera();
    for (const track of stream.getTracks()) {
      track.addEventListener("ended", () => showFailure("stopped"));
    }
    step("see").hidden = false;
    showPreview(root, stream);
    let muted = [];
    const listener = listen(root, stream, () => showDevices(listener, muted));
    watchInterruptions(stream, (names) => (muted = names));
    announcement.textContent = TEXTS.on;
  } catch (problem) {
    showFailure(problem);
  }
}

function showDevices(listener, muted) {
  const isMuted = muted.includes("mutedSound");
  const isSilent = listener.silentSeconds() >= SILENCE_WARNING_SECONDS;
  if (listener.isHeard() && soundNote.dataset.sound !== "yes") {
    soundNote.dataset.sound = "yes";
    soundNote.textContent = TEXTS.heard;
  }
  const texts = isMuted || (isSilent && !listener.isHeard()) ? [TEXTS.hearNothing] : [];
  if (muted.includes("mutedPicture")) texts.push(TEXTS.mutedPicture);
  const text = texts.join(" ");
  if (warning.textContent !== text) warning.textContent = text;
  warning.hidden = !text;
}

function showFailure(problem) {
  step("ask").hidden = step("see").hidden = true;
  showProblem(root, String(problem));
}

root.querySelector('[data-action="on"]').addEventListener("click", turnOn);
root.querySelector('[data-action="retry"]').addEventListener("click", turnOn);
enableButtons(root);
