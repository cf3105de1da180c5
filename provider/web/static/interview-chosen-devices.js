// The devices that the candidate chose, remembered from page to page: camera and microphone, or
// sound alone for this interview.

import { loadValue, saveValue } from "./candidate-storage.js";

const KEYS = { videoinput: "interview-camera", audioinput: "interview-microphone" };
const SOUND_ONLY_KEY = `interview-sound-only-${location.pathname.split("/")[3]}`;

/** Remember a device; `kind` is `videoinput` or `audioinput`. A browser may give it another id later. */
export function chooseDevice(kind, { value, text }) {
  saveValue(KEYS[kind], JSON.stringify({ id: value, label: text }));
}

/** Remember whether the candidate wants to answer with sound alone. */
export function chooseSoundOnly(isChosen) {
  saveValue(SOUND_ONLY_KEY, isChosen ? "yes" : "");
}

export function isSoundOnlyChosen() {
  return loadValue(SOUND_ONLY_KEY) === "yes";
}

/** Resolve with the constraint that opens the chosen device, or null when it is not there. */
export async function chosenDevice(kind) {
  const chosen = JSON.parse(loadValue(KEYS[kind]) || "null");
  if (!chosen) return null;
  const devices = await navigator.mediaDevices.enumerateDevices().catch(() => []);
  const ofKind = devices.filter((device) => device.kind === kind);
  const device =
    ofKind.find(({ deviceId }) => deviceId === chosen.id) ||
    ofKind.find(({ label }) => label === chosen.label);
  // Chromium does not open a microphone that is only `ideal`.
  return device ? { deviceId: { exact: device.deviceId } } : null;
}

/** Whether a chosen device is known now that is not in `stream`: browsers hide names at first. */
export async function isOtherChosen(stream) {
  for (const track of stream.getTracks()) {
    const device = await chosenDevice(`${track.kind}input`);
    const { deviceId } = track.getSettings();
    if (device && deviceId && device.deviceId.exact !== deviceId) return true;
  }
  return false;
}
