// The speed of the line to the server, and the bit rates of a recorder that suit it.

import { loadValue, saveValue } from "./candidate-storage.js";

const KEY = "interview-line"; // bits per second
const FIRST_BYTES = 32 * 1024;
const SECOND_BYTES = 512 * 1024; // only a line that is quick enough sends them
const QUICK_SECONDS = 1;
const TIMEOUT_MS = 20000;
const MIN_MEASURED_BYTES = 32 * 1024; // a smaller piece measures the distance, not the width
const SOUND_BITS = 64_000;
const LOW_SOUND_BITS = 32_000;
const MAX_PICTURE_BITS = 800_000;
const MIN_PICTURE_BITS = 150_000;
const SHARE = 0.7; // of the line that a recording uses
export const SLOW_LINE_BITS = 400_000;

/** Send random bytes to `url`; resolves with bits per second, or null when nothing arrived. */
export async function measureLine(url, csrf) {
  try {
    const first = await timeUpload(url, csrf, FIRST_BYTES);
    const isQuick = first.seconds < QUICK_SECONDS;
    const { bits, seconds } = isQuick ? await timeUpload(url, csrf, SECOND_BYTES) : first;
    const bitsPerSecond = bits / Math.max(seconds, 0.001);
    saveValue(KEY, String(Math.round(bitsPerSecond)));
    return bitsPerSecond;
  } catch {
    return null;
  }
}

async function timeUpload(url, csrf, size) {
  const bytes = new Uint8Array(size);
  // The browser gives at most 64 KiB of random bytes at once. Zeros could be compressed on the way.
  for (let start = 0; start < size; start += 65536) {
    crypto.getRandomValues(bytes.subarray(start, start + 65536));
  }
  const startedAt = performance.now();
  const headers = { "X-CSRFToken": csrf, "Content-Type": "application/octet-stream" };
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const response = await fetch(url, { method: "POST", headers, body: bytes, signal });
  if (!response.ok) throw new Error(String(response.status));
  return { bits: size * 8, seconds: (performance.now() - startedAt) / 1000 };
}

/** Learn from a piece of `bytes` that was sent in `seconds`. */
export function learnFromPiece(bytes, seconds) {
  if (bytes < MIN_MEASURED_BYTES || seconds <= 0) return;
  const before = Number(loadValue(KEY)) || (bytes * 8) / seconds;
  saveValue(KEY, String(Math.round((before * 3 + (bytes * 8) / seconds) / 4)));
}

/** Return the options of a recorder with bit rates that the measured line can carry. */
export function bitRates() {
  const line = Number(loadValue(KEY)) || Infinity;
  const isSlow = line < SLOW_LINE_BITS;
  const sound = isSlow ? LOW_SOUND_BITS : SOUND_BITS;
  const picture = Math.min(MAX_PICTURE_BITS, Math.max(MIN_PICTURE_BITS, line * SHARE - sound));
  return { videoBitsPerSecond: Math.round(picture), audioBitsPerSecond: sound };
}
