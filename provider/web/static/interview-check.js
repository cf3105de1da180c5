// Trying camera and microphone before an interview: nothing is recorded.

import { openCamera, preview, showProblem, wakeButtons, watchLevel } from "./interview-camera.js";

const root = document.querySelector("[data-camera-check]");
const step = (name) => root.querySelector(`[data-step="${name}"]`);
const heard = root.querySelector("[data-heard]");
const said = root.querySelector("[data-announce]");

async function turnOn() {
  showProblem(root);
  step("ask").hidden = true;
  try {
    const stream = await openCamera();
    stream.getTracks().forEach((track) => track.addEventListener("ended", () => fail("stopped")));
    step("see").hidden = false;
    preview(root, stream);
    watchLevel(root, stream, hear);
    said.textContent = "Camera and microphone are on";
  } catch (problem) {
    fail(problem);
  }
}

function hear() {
  if (heard.dataset.heard === "yes") return;
  heard.dataset.heard = "yes";
  heard.textContent = "We hear you";
}

function fail(problem) {
  step("ask").hidden = step("see").hidden = true;
  showProblem(root, String(problem));
}

root.querySelector('[data-act="on"]').addEventListener("click", turnOn);
root.querySelector('[data-act="retry"]').addEventListener("click", turnOn);
wakeButtons(root);
