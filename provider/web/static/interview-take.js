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
  const kept = keepTake(location.pathname);
  const chunks = [];
  let upload = null; // begins with the first chunk: the recorder knows its type then
  let storing = Promise.resolve();

  recorder.addEventListener("dataavailable", ({ data }) => {
    if (!data.size) return;
    chunks.push(data);
    storing = storing.then(async () => {
      await kept.add(data);
      upload ||= sendTake({ ...target, id: kept.id, type: type() }, withMeasuring(observers));
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
      await kept.finish();
      upload.finish();
      return upload.saved;
    },
    forget: () => Promise.all([inTime(upload?.cancel()), kept.forget()]),
    forgetKept: kept.forget,
  };
}

/** Return a take that this device has kept, with the same methods; it is sent after `finish`. */
export function resumeTake(kept, target, observers) {
  const { type } = kept.chunks[0];
  let upload = null;

  function begin() {
    upload ||= sendTake({ ...target, id: kept.id, type }, withMeasuring(observers));
    return upload;
  }

  return {
    blob: new Blob(kept.chunks, { type }),
    isFinished: kept.isFinished,
    retryNow: () => upload?.retryNow(),
    async finish() {
      if (!kept.isFinished) await kept.finish();
      for (const chunk of kept.chunks) begin().add(chunk);
      begin().finish();
      return upload.saved;
    },
    forget: () => Promise.all([inTime(discardTake({ ...target, id: kept.id, type })), kept.forget()]),
    forgetKept: kept.forget,
  };
}

// The server discards by itself what it was not told to discard.
function inTime(promise) {
  return Promise.race([promise, new Promise((resolve) => setTimeout(resolve, DISCARD_TIMEOUT_MS))]);
}

function withMeasuring(observers) {
  return { ...observers, onSent: learnFromPiece };
}
