// The page where the candidate tries camera and microphone before an interview. It records nothing.

import { TEXTS } from "./candidate-texts.js";
import {
  enableButtons,
  openCamera,
  showLevel,
  showPreview,
  showProblem,
} from "./interview-camera.js";

const root = document.querySelector("[data-camera-check]");
const step = (name) => root.querySelector(`[data-step="${name}"]`);
const soundNote = root.querySelector("[data-sound]");
const announcement = root.querySelector("[data-announce]");

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
    showLevel(root, stream, showSound);
    announcement.textContent = TEXTS.on;
  } catch (problem) {
    showFailure(problem);
  }
}

function showSound() {
  if (soundNote.dataset.sound === "yes") return;
  soundNote.dataset.sound = "yes";
  soundNote.textContent = TEXTS.heard;
}

function showFailure(problem) {
  step("ask").hidden = step("see").hidden = true;
  showProblem(root, String(problem));
}

root.querySelector('[data-action="on"]').addEventListener("click", turnOn);
root.querySelector('[data-action="retry"]').addEventListener("click", turnOn);
enableButtons(root);
