// Watches a recording and says in words what is wrong with it, at the latest before it is sent.

import { TEXTS } from "./candidate-texts.js";
import { watchInterruptions } from "./interview-interruptions.js";
import { keepScreenOn } from "./interview-wake-lock.js";

const SILENCE_WARNING_SECONDS = 6;
const CHECK_INTERVAL_MS = 500;
const WARNINGS = {
  mutedSound: TEXTS.mutedSound,
  mutedPicture: TEXTS.mutedPicture,
  silent: TEXTS.hearNothing,
  left: TEXTS.leftPage,
};
const REASONS = {
  silent: TEXTS.heardNothing,
  mutedSound: TEXTS.soundWasMuted,
  mutedPicture: TEXTS.pictureWasMuted,
  ended: TEXTS.deviceEnded,
  left: TEXTS.leftPage,
};

/**
 * Watch the recording of `stream` and show warnings in `root`. `listener` is what `listen` returned.
 * `stop()` ends it and returns `{isSilent, reasons}`: the sentences about what went wrong.
 */
export function watchRecording(root, stream, listener) {
  const box = root.querySelector("[data-watch]");
  const screen = keepScreenOn();
  const interruptions = watchInterruptions(stream, show);
  let present = [];
  let past = [];
  listener.restart();
  const timer = setInterval(() => show(present, past), CHECK_INTERVAL_MS);

  function show(presentNames, pastNames) {
    present = presentNames;
    past = pastNames;
    const names = [...present];
    const isSilent = listener.silentSeconds() >= SILENCE_WARNING_SECONDS;
    if (isSilent && !names.includes("mutedSound")) names.push("silent");
    if (past.includes("left")) names.push("left");
    const text = names.map((name) => WARNINGS[name]).join(" ");
    // The same text again would be read aloud again.
    if (box.textContent !== text) box.textContent = text;
    box.hidden = !text;
  }

  function stop() {
    clearInterval(timer);
    screen.release();
    const names = interruptions.stop();
    const isSilent = listener.isSilent();
    if (isSilent) names.unshift("silent");
    box.hidden = true;
    box.textContent = "";
    const reasons = Object.entries(REASONS).filter(([name]) => names.includes(name));
    return { isSilent, reasons: reasons.map(([, text]) => text) };
  }

  return { stop };
}
