// Records a few seconds that never leave the browser, and plays them.

import { TEXTS } from "./candidate-texts.js";
import { createRecorder } from "./interview-camera.js";

const TRIAL_MS = 5000;

/** Record a trial of `stream` and show it in `root`; `onText` gets what happens. */
export async function recordTrial(root, stream, onText) {
  const replay = root.querySelector("[data-trial-replay]");
  const chunks = [];
  let recorder;
  try {
    recorder = createRecorder(stream);
    recorder.addEventListener("dataavailable", ({ data }) => chunks.push(data));
    const stopped = new Promise((resolve) => recorder.addEventListener("stop", resolve));
    recorder.start();
    onText(TEXTS.trialRuns);
    const timer = setTimeout(() => recorder.state !== "inactive" && recorder.stop(), TRIAL_MS);
    await stopped;
    clearTimeout(timer);
  } catch {
    return onText(TEXTS.trialFailed);
  }
  const blob = new Blob(chunks, { type: recorder.mimeType });
  if (!blob.size) return onText(TEXTS.trialFailed);
  URL.revokeObjectURL(replay.src);
  replay.src = URL.createObjectURL(blob);
  root.querySelector("[data-trial]").hidden = false;
  onText(TEXTS.trialEnded);
  replay.play().catch(() => {}); // the candidate can press play
}
