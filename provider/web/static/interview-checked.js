// Tells the candidate when the server finds a saved take broken, while she can still record again.

import { loadValue, saveValue } from "./candidate-storage.js";

const KEY = "interview-unchecked"; // [[URL of the upload, path of its question], …]
const INTERVAL_MS = 3000;
const MAX_ASKS = 100;

function load() {
  return JSON.parse(loadValue(KEY) || "[]");
}

/** Remember a saved take whose content the server has not judged yet. */
export function awaitCheck(uploadUrl) {
  saveValue(KEY, JSON.stringify([...load(), [uploadUrl, location.pathname]]));
}

/**
 * Ask for the judgement of the saved takes. `onBroken` gets the path of the question of a broken
 * one; while `isBusy()` nothing is asked.
 */
export function watchChecks(onBroken, isBusy = () => false) {
  let asks = 0;
  const timer = setInterval(async () => {
    const waiting = load();
    if (!waiting.length || ++asks > MAX_ASKS) return clearInterval(timer);
    if (isBusy() || document.hidden) return;
    for (const [uploadUrl, question] of waiting) {
      const state = await askState(uploadUrl);
      if (state === "saved" || state === null) continue;
      saveValue(KEY, JSON.stringify(load().filter(([other]) => other !== uploadUrl)));
      if (state === "broken") onBroken(question);
    }
  }, INTERVAL_MS);
}

/** Resolve with the state of an upload, or null when the server does not say it now. */
async function askState(uploadUrl) {
  try {
    const headers = { Accept: "application/json", "Tus-Resumable": "1.0.0" };
    const response = await fetch(uploadUrl, { headers });
    if (response.status === 404) return "gone";
    return response.ok ? (await response.json()).state : null;
  } catch {
    return null;
  }
}
