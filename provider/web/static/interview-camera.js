// Camera, microphone and recorder: opening them, and the name of what keeps them from working.

const WANTED = { width: { ideal: 640 }, height: { ideal: 480 }, facingMode: "user" };
const BITS = { videoBitsPerSecond: 800_000, audioBitsPerSecond: 64_000 };
const KINDS = [
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
const HEARD = 0.08; // share of the meter above which somebody speaks

/** Wake the buttons: until the script is there, pressing one would do nothing. */
export function wakeButtons(root) {
  for (const button of root.querySelectorAll("[data-act]")) button.disabled = false;
}

/** Return a stream of camera and microphone; throws the name of the problem otherwise. */
export async function openCamera() {
  if (!window.isSecureContext) throw "insecure";
  if (!navigator.mediaDevices?.getUserMedia || !recordable()) throw "unsupported";
  try {
    return await ask(WANTED);
  } catch (error) {
    throw PROBLEMS[error.name] || "unknown";
  }
}

async function ask(video) {
  try {
    return await navigator.mediaDevices.getUserMedia({ video, audio: true });
  } catch (error) {
    // Any camera is better than none.
    if (error.name !== "OverconstrainedError" || video === true) throw error;
    return ask(true);
  }
}

/** Return a recorder of what this browser records best; its own `mimeType` is the truth. */
export function recorderOf(stream) {
  return new MediaRecorder(stream, { mimeType: recordable(), ...BITS });
}

function recordable() {
  if (!window.MediaRecorder?.isTypeSupported) return null;
  return KINDS.find((kind) => MediaRecorder.isTypeSupported(kind)) || null;
}

/** Say what is wrong, and move there, in `root`; no name hides it again. */
export function showProblem(root, name = null) {
  const box = root.querySelector("[data-problems]");
  const known = box.querySelector(`[data-problem="${name}"]`) ? name : "unknown";
  for (const each of box.querySelectorAll("[data-problem]")) {
    each.hidden = name === null || each.dataset.problem !== known;
  }
  box.hidden = name === null;
  if (name) box.focus();
}

export function preview(root, stream) {
  const video = root.querySelector("[data-preview]");
  video.srcObject = stream;
  video.play().catch(() => {}); // a picture that does not move is no reason to stop
}

export function closeCamera(stream) {
  stream?.getTracks().forEach((track) => track.stop());
}

/** Show how loud it is while the stream lives; `onHeard` is called once somebody speaks. */
export function watchLevel(root, stream, onHeard = () => {}) {
  const meter = root.querySelector("[data-level]");
  let context;
  try {
    context = new AudioContext();
    context.resume().catch(() => {});
    const analyser = new AnalyserNode(context, { fftSize: 1024 });
    context.createMediaStreamSource(stream).connect(analyser);
    const wave = new Float32Array(analyser.fftSize);
    const draw = () => {
      if (!stream.active) return context.close();
      analyser.getFloatTimeDomainData(wave);
      const loud = Math.sqrt(wave.reduce((sum, value) => sum + value * value, 0) / wave.length);
      meter.value = Math.min(1, loud * 4);
      if (meter.value > HEARD) onHeard();
      requestAnimationFrame(draw);
    };
    draw();
  } catch {
    meter.closest(".level").hidden = true; // the meter is a comfort, not a condition
  }
}
