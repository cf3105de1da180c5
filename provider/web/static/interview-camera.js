// Camera, microphone and recorder: opens them, and names the problem when one does not work.

const VIDEO_CONSTRAINTS = { width: { ideal: 640 }, height: { ideal: 480 }, facingMode: "user" };
const BIT_RATES = { videoBitsPerSecond: 800_000, audioBitsPerSecond: 64_000 };
const MIME_TYPES = [
  "video/webm;codecs=vp9,opus",
  "video/webm;codecs=vp8,opus",
  "video/webm",
  "video/mp4;codecs=avc1.42E01E,mp4a.40.2",
  "video/mp4",
];
const PROBLEMS = {
  NotAllowedError: "denied",
  SecurityError: "denied",
  NotFoundError: "absent",
  NotReadableError: "busy",
  AbortError: "busy",
  OverconstrainedError: "unsuitable",
};

/** Enable the buttons; they are disabled until the script that handles them has loaded. */
export function enableButtons(root) {
  for (const button of root.querySelectorAll("[data-action]")) button.disabled = false;
}

/** Return a stream of camera and microphone; throws the name of the problem. */
export async function openCamera() {
  if (!window.isSecureContext) throw "insecure";
  if (!navigator.mediaDevices?.getUserMedia || !supportedMimeType()) throw "unsupported";
  try {
    return await requestStream(VIDEO_CONSTRAINTS);
  } catch (error) {
    throw PROBLEMS[error.name] || "unknown";
  }
}

async function requestStream(video) {
  try {
    return await navigator.mediaDevices.getUserMedia({ video, audio: true });
  } catch (error) {
    // Any camera is better than none.
    if (error.name !== "OverconstrainedError" || video === true) throw error;
    return requestStream(true);
  }
}

/** Return a recorder with the best type of this browser; its `mimeType` is the type it uses. */
export function createRecorder(stream) {
  return new MediaRecorder(stream, { mimeType: supportedMimeType(), ...BIT_RATES });
}

function supportedMimeType() {
  if (!window.MediaRecorder?.isTypeSupported) return null;
  return MIME_TYPES.find((type) => MediaRecorder.isTypeSupported(type)) || null;
}

/** Show and focus the problem `name` in `root`; null hides all problems. */
export function showProblem(root, name = null) {
  const box = root.querySelector("[data-problems]");
  const known = box.querySelector(`[data-problem="${name}"]`) ? name : "unknown";
  for (const element of box.querySelectorAll("[data-problem]")) {
    element.hidden = name === null || element.dataset.problem !== known;
  }
  box.hidden = name === null;
  if (name) box.focus();
}

export function showPreview(root, stream) {
  const video = root.querySelector("[data-preview]");
  video.srcObject = stream;
  video.play().catch(() => {}); // recording works without the preview
}

export function closeCamera(stream) {
  stream?.getTracks().forEach((track) => track.stop());
}
