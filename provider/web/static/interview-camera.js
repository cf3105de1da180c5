// Camera, microphone and recorder: opens them, and names the problem when one does not work.

import {
  chooseSoundOnly,
  chosenDevice,
  isOtherChosen,
  isSoundOnlyChosen,
} from "./interview-chosen-devices.js";
import { bitRates } from "./interview-line.js";

const PICTURE = { width: { ideal: 640 }, height: { ideal: 480 } };
const NO_ANSWER_MS = 15000; // of the browser's question whether this page may use the devices
const VIDEO_TYPES = [
  "video/webm;codecs=vp9,opus",
  "video/webm;codecs=vp8,opus",
  "video/webm;codecs=h264,opus",
  "video/webm",
  "video/mp4;codecs=avc1.42E01E,mp4a.40.2",
  "video/mp4",
];
const SOUND_TYPES = [
  "audio/webm;codecs=opus",
  "audio/webm",
  "audio/mp4;codecs=mp4a.40.2",
  "audio/mp4",
  "audio/ogg;codecs=opus",
];
const PROBLEMS = {
  NotAllowedError: "denied",
  SecurityError: "denied",
  NotFoundError: "absent",
  NotReadableError: "busy",
  AbortError: "busy",
  OverconstrainedError: "unsuitable",
};
// Problems of a camera: a microphone alone may work.
const CAMERA_PROBLEMS = ["absent", "busy", "denied", "stopped", "unknown", "unsuitable", "waiting"];

/** Enable the buttons; they are disabled until the script that handles them has loaded. */
export function enableButtons(root) {
  for (const button of root.querySelectorAll("[data-action]")) button.disabled = false;
}

/**
 * Return a stream of microphone and camera. The stream has the microphone alone with `soundOnly`, or
 * when the candidate has chosen so. Throws the name of the problem. `onNoAnswer` is called when the
 * browser's question has no answer for a while.
 */
export async function openCamera({ soundOnly: needsNoCamera, onNoAnswer = () => {} } = {}) {
  const soundOnly = needsNoCamera || isSoundOnlyChosen();
  if (!window.isSecureContext) throw "insecure";
  if (!navigator.mediaDevices?.getUserMedia || !supportedType(soundOnly)) throw "unsupported";
  const timer = setTimeout(onNoAnswer, NO_ANSWER_MS);
  try {
    return await requestStream(soundOnly);
  } catch (error) {
    throw PROBLEMS[error.name] || "unknown";
  } finally {
    clearTimeout(timer);
  }
}

async function requestStream(soundOnly) {
  const stream = await requestChosen(soundOnly);
  if (!(await isOtherChosen(stream))) return stream;
  closeCamera(stream);
  return requestChosen(soundOnly);
}

async function requestChosen(soundOnly) {
  const camera = (await chosenDevice("videoinput")) || { facingMode: "user" };
  const audio = (await chosenDevice("audioinput")) || true;
  const video = !soundOnly && { ...PICTURE, ...camera };
  try {
    return await navigator.mediaDevices.getUserMedia({ video, audio });
  } catch (error) {
    // Any camera is better than none.
    if (error.name !== "OverconstrainedError") throw error;
    return navigator.mediaDevices.getUserMedia({ video: !soundOnly, audio: true });
  }
}

/** Return a recorder with the best type of this browser; its `mimeType` is the type it uses. */
export function createRecorder(stream) {
  const soundOnly = !stream.getVideoTracks().length;
  return new MediaRecorder(stream, { mimeType: supportedType(soundOnly), ...bitRates() });
}

function supportedType(soundOnly) {
  if (!window.MediaRecorder?.isTypeSupported) return null;
  const types = soundOnly ? SOUND_TYPES : VIDEO_TYPES;
  return types.find((type) => MediaRecorder.isTypeSupported(type)) || null;
}

/** Show and focus the problem `name` in `root`; null hides all problems. */
export function showProblem(root, name = null) {
  const box = root.querySelector("[data-problems]");
  const known = box.querySelector(`[data-problem="${name}"]`) ? name : "unknown";
  for (const element of box.querySelectorAll("[data-problem]")) {
    element.hidden = name === null || element.dataset.problem !== known;
  }
  box.hidden = name === null;
  const soundOnly = box.querySelector('[data-action="sound-only"]');
  if (soundOnly) soundOnly.hidden = !CAMERA_PROBLEMS.includes(known) || isSoundOnlyChosen();
  if (name) box.focus();
}

/** Let the buttons of `root` switch the camera off and on; `openAgain` opens the devices. */
export function offerSoundOnly(root, openAgain) {
  for (const [action, isSoundOnly] of [["sound-only", true], ["with-camera", false]]) {
    for (const button of root.querySelectorAll(`[data-action="${action}"]`)) {
      button.addEventListener("click", () => {
        chooseSoundOnly(isSoundOnly);
        openAgain();
      });
    }
  }
}

export function showPreview(root, stream) {
  const video = root.querySelector("[data-preview]");
  video.hidden = !stream.getVideoTracks().length;
  video.closest(".screen").classList.toggle("is-sound", video.hidden);
  video.srcObject = stream;
  video.play().catch(() => {}); // recording works without the preview
}

export function closeCamera(stream) {
  stream?.getTracks().forEach((track) => track.stop());
}
