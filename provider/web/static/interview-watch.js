// Watches a recording and says in words what is wrong with it, at the latest before it is sent.

import { TEXTS } from "./candidate-texts.js";
import { watchInterruptions } from "./interview-interruptions.js";
import { keepScreenOn } from "./interview-wake-lock.js";

const SILENCE_WARNING_SECONDS = 6;
const CHECK_INTERVAL_MS = 500;
const MAX_CHECK_GAP_MS = 10_000; // a longer one is sleep; a hidden page checks once a second
const FROZEN_WARNING_CHECKS = 10; // checks, not seconds: a page that stood still has lost nothing
const NO_DATA_WARNING_CHECKS = 16;
const WARNINGS = {
  mutedSound: TEXTS.mutedSound,
  mutedPicture: TEXTS.mutedPicture,
  silent: TEXTS.hearNothing,
  frozen: TEXTS.frozenPicture,
  noData: TEXTS.noData,
  rotated: TEXTS.rotated,
  slept: TEXTS.slept,
  left: TEXTS.leftPage,
};
const REASONS = {
  silent: TEXTS.heardNothing,
  mutedSound: TEXTS.soundWasMuted,
  mutedPicture: TEXTS.pictureWasMuted,
  frozen: TEXTS.pictureFroze,
  noData: TEXTS.dataStopped,
  rotated: TEXTS.wasRotated,
  slept: TEXTS.slept,
  ended: TEXTS.deviceEnded,
  left: TEXTS.leftPage,
};

/**
 * Watch the recording of `stream` and show warnings in `root`. `listener` is what `listen` returned.
 * `chunkCount()` is the number of the recorder's chunks. `stop()` ends it and returns `{isSilent, reasons}`: the sentences about what went wrong.
 */
export function watchRecording(root, stream, listener, chunkCount) {
  const box = root.querySelector("[data-watch]");
  const screenLock = keepScreenOn();
  const interruptions = watchInterruptions(stream, show);
  const frames = watchFrames(root.querySelector("[data-preview]"), stream);
  const ownPast = new Set(); // what only this watch notices
  let present = [];
  let past = [];
  let checkedAt = Date.now(); // goes on while the device sleeps
  let knownChunks = 0;
  let checksWithoutData = 0;
  listener.restart();
  const timer = setInterval(check, CHECK_INTERVAL_MS);

  function check() {
    if (Date.now() - checkedAt > MAX_CHECK_GAP_MS) ownPast.add("slept");
    checkedAt = Date.now();
    checksWithoutData = chunkCount() > knownChunks ? 0 : checksWithoutData + 1;
    knownChunks = chunkCount();
    frames.check();
    show(present, past);
  }

  function show(presentNames, pastNames) {
    present = presentNames;
    past = pastNames;
    const names = [...present];
    const isSilent = listener.silentSeconds() >= SILENCE_WARNING_SECONDS;
    if (isSilent && !names.includes("mutedSound")) names.push("silent");
    if (frames.isFrozen() && !names.includes("mutedPicture")) {
      names.push("frozen");
    }
    if (checksWithoutData >= NO_DATA_WARNING_CHECKS) names.push("noData");
    for (const name of ["frozen", "noData"]) if (names.includes(name)) ownPast.add(name);
    for (const name of ["rotated", "left"]) if (past.includes(name)) names.push(name);
    if (ownPast.has("slept")) names.push("slept");
    const text = names.map((name) => WARNINGS[name]).join(" ");
    // The same text again would be read aloud again.
    if (box.textContent !== text) box.textContent = text;
    box.hidden = !text;
  }

  function stop() {
    clearInterval(timer);
    frames.stop();
    screenLock.release();
    const names = [...interruptions.stop(), ...ownPast];
    const isSilent = listener.isSilent();
    if (isSilent) names.unshift("silent");
    box.hidden = true;
    box.textContent = "";
    const reasons = Object.entries(REASONS).filter(([name]) => names.includes(name));
    return { isSilent, reasons: reasons.map(([, text]) => text) };
  }

  return { stop };
}

/** Count the pictures that `preview` shows; a page that is hidden, or no camera, freezes nothing. */
function watchFrames(preview, stream) {
  const canWatch = stream.getVideoTracks().length && preview.requestVideoFrameCallback;
  let checksWithoutFrame = 0;
  let handle = null;

  function next() {
    handle = preview.requestVideoFrameCallback(() => {
      checksWithoutFrame = 0;
      next();
    });
  }

  if (canWatch) next();
  return {
    check() {
      checksWithoutFrame = !canWatch || document.hidden || preview.paused ? 0 : checksWithoutFrame + 1;
    },
    isFrozen: () => checksWithoutFrame >= FROZEN_WARNING_CHECKS,
    stop() {
      if (handle !== null) preview.cancelVideoFrameCallback(handle);
    },
  };
}
