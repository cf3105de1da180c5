// One take: each chunk of the recorder is kept on this device first, and then sent.

import { createRecorder } from "./interview-camera.js";
import { learnFromPiece } from "./interview-line.js";
import { keepTake } from "./interview-store.js";
import { discardTake, sendTake } from "./interview-upload.js";

const CHUNK_MS = 1000;
const DISCARD_TIMEOUT_MS = 2000;

/**
 * Record `stream` until `stop()`, and send it meanwhile. `target` and `observers` are those of
 * `sendTake`. `onStop` is called with the whole recording as a blob, once this device keeps it.
 */
export function recordTake(stream, target, observers, onStop) {
  const recorder = createRecorder(stream);
  const storedTake = keepTake(location.pathname);
  const chunks = [];
  let upload = null; // begins with the first chunk: the recorder knows its type then
  let storing = Promise.resolve();
  let isKept = true; // false: the device did not store a chunk, and is not asked again

  recorder.addEventListener("dataavailable", ({ data }) => {
    if (!data.size) return;
    chunks.push(data);
    storing = storing.then(async () => {
      isKept &&= (await storedTake.add(data)) !== null;
      upload ||= sendTake({ ...target, id: storedTake.id, type: type() }, withMeasuring(observers));
      upload.add(data);
    });
  });
  recorder.addEventListener("stop", async () => {
    await storing;
    onStop(new Blob(chunks, { type: type() }));
  });
  recorder.addEventListener("error", stop);
  recorder.start(CHUNK_MS);

  function type() {
    return recorder.mimeType || chunks[0]?.type || "video/webm";
  }

  function stop() {
    if (recorder.state !== "inactive") recorder.stop();
  }

  return {
    stop,
    isRecording: () => recorder.state === "recording",
    chunkCount: () => chunks.length,
    retryNow: () => upload?.retryNow(),
    /** Say that the take is whole; resolves with the server's state of it once it is saved. */
    async finish() {
      if (isKept) await storedTake.finish();
      upload.finish();
      return upload.saved;
    },
    forget: () => Promise.all([inTime(upload?.cancel()), storedTake.forget()]),
    forgetKept: storedTake.forget,
  };
}

/** Return a take that this device has kept, with the same methods; it is sent after `finish`. */
export function resumeTake(storedTake, target, observers) {
  const { type } = storedTake.chunks[0];
  let upload = null;

  function begin() {
    upload ||= sendTake({ ...target, id: storedTake.id, type }, withMeasuring(observers));
    return upload;
  }

  return {
    blob: new Blob(storedTake.chunks, { type }),
    isFinished: storedTake.isFinished,
    retryNow: () => upload?.retryNow(),
    async finish() {
      if (!storedTake.isFinished) await storedTake.finish();
      for (const chunk of storedTake.chunks) begin().add(chunk);
      begin().finish();
      return upload.saved;
    },
    forget: () => Promise.all([inTime(discardTake({ ...target, id: storedTake.id, type })), storedTake.forget()]),
    forgetKept: storedTake.forget,
  };
}

// The server discards by itself what it was not told to discard.
function inTime(promise) {
  return Promise.race([promise, new Promise((resolve) => setTimeout(resolve, DISCARD_TIMEOUT_MS))]);
}

function withMeasuring(observers) {
  return { ...observers, onSent: learnFromPiece };
}
