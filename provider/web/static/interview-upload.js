// Sends one take while it is recorded, and until the server has saved it. After a broken line the
// server says how many bytes it has, and the sending goes on from there. The protocol is tus 1.0.

import { TEXTS } from "./candidate-texts.js";
import { createRequester, sha256 } from "./interview-request.js";

const RETRY_DELAYS_MS = [1000, 2000, 4000, 8000, 15000]; // the last one repeats
const MIN_PIECE_BYTES = 64 * 1024;
const FIRST_PIECE_BYTES = 1024 * 1024;
const QUICK_SECONDS = 2; // a line that sends a piece in this time may have a larger one
const MAX_DIGEST_BYTES = 100_000_000; // of a take whose whole digest is sent: it is read at once
const MAX_CSRF_REFRESHES = 20;
const MAX_REJECTIONS = 5; // of the pieces of one upload; then the take is sent as another one
const FINAL_STATUSES = [409, 411, 415];
const SAVED_STATES = ["saved", "checked", "broken"];
const PROTOCOL = { "Tus-Resumable": "1.0.0" };
const ANNOUNCE = "announce"; // the three requests
const ASK = "ask";
const PIECE = "piece";

function announcement(id, type) {
  const metadata = `filetype ${btoa(type)},take ${btoa(id)}`;
  return { ...PROTOCOL, "Upload-Defer-Length": "1", "Upload-Metadata": metadata };
}

/** Discard what the server has of a take that this page has not sent itself. */
export async function discardTake({ id, type, url, csrf }) {
  const { send } = createRequester(csrf);
  const { status, header } = await send("POST", url, announcement(id, type));
  if (status === 201) await send("DELETE", header("Location"), PROTOCOL);
}

/**
 * Send the take `id` of the media type `type`. `add(chunk)` appends to it; after `finish()` the
 * returned `saved` resolves with the server's state of the take and the URL of its `upload`.
 * `onProgress` gets the bytes that the server has, and all bytes. `onProblem` gets a message,
 * whether it is final, and the URL to open then. `onSent` gets the bytes of a piece and the seconds
 * that they took. `retryNow` ends the wait before the next attempt; `cancel` discards the take.
 */
export function sendTake(
  { id, type, url, csrf, maxPieceBytes },
  { onProgress = () => {}, onProblem = () => {}, onSent = () => {} },
) {
  const { send, refreshToken } = createRequester(csrf);
  const chunks = [];
  let size = 0;
  let isFinished = false;
  let isCancelled = false;
  let uploadUrl = null; // where the pieces go; null: the take is not announced
  let offset = null; // the bytes that the server has; null: unknown
  let isEnded = false; // the server has the length and every byte
  let largestPieceBytes = maxPieceBytes;
  let pieceBytes = Math.min(FIRST_PIECE_BYTES, maxPieceBytes);
  let isQuick = true; // the last piece was
  let failures = 0; // since the last piece that arrived
  let rejections = 0; // of pieces of this upload
  let csrfRefreshes = 0;
  let restarts = 0; // each is another upload of the same take
  let endWait = () => {};
  const retryNow = () => endWait();
  const retryWhenVisible = () => document.hidden || retryNow();
  addEventListener("online", retryNow);
  document.addEventListener("visibilitychange", retryWhenVisible);
  const saved = sendUntilSaved().finally(() => {
    removeEventListener("online", retryNow);
    document.removeEventListener("visibilitychange", retryWhenVisible);
  });

  return {
    saved,
    retryNow,
    add(chunk) {
      chunks.push(chunk);
      size += chunk.size;
      if (isIdle()) retryNow();
    },
    finish() {
      const wasIdle = isIdle();
      isFinished = true;
      if (wasIdle) retryNow();
    },
    cancel() {
      isCancelled = true;
      retryNow();
      return uploadUrl ? send("DELETE", uploadUrl, PROTOCOL) : Promise.resolve();
    },
  };

  // Waits for the next chunk, not for the next attempt.
  function isIdle() {
    return failures === 0 && !isFinished;
  }

  async function sendUntilSaved() {
    while (!isCancelled) {
      if (offset !== null && offset >= size && !isFinished) {
        failures = 0; // the line works: this waits for the next chunk
        await pause(null);
        continue;
      }
      const kind = uploadUrl === null ? ANNOUNCE : offset === null || isEnded ? ASK : PIECE;
      const response = await request(kind);
      if (SAVED_STATES.includes(response.reply.state)) return { ...response.reply, upload: uploadUrl };
      if (takeOffset(kind, response)) {
        if (needsPause(kind, response)) await pause(delayMs());
      } else if (!(await hasFreshToken(response))) await recover(kind, response);
    }
    return null;
  }

  function request(kind) {
    if (kind === PIECE) return sendPiece();
    if (kind === ASK) return send("GET", uploadUrl, PROTOCOL);
    return send("POST", url, announcement(restarts ? `${id}-${restarts}` : id, type));
  }

  async function sendPiece() {
    const start = offset;
    const total = size;
    const blob = new Blob(chunks);
    const piece = blob.slice(start, Math.min(start + pieceBytes, total));
    const isLast = isFinished && start + piece.size === total;
    const headers = {
      ...PROTOCOL,
      "Upload-Offset": start,
      "Content-Type": "application/offset+octet-stream",
      "Upload-Checksum": `sha256 ${await sha256(piece)}`,
    };
    if (isLast) headers["Upload-Length"] = total;
    if (isLast && total <= MAX_DIGEST_BYTES) headers["Repr-Digest"] = `sha-256=:${await sha256(blob)}:`;
    const startedAt = performance.now();
    const report = (sent) => onProgress(Math.min(total, start + sent), size);
    const response = await send("PATCH", uploadUrl, headers, piece, report);
    if (response.status === 204) {
      const seconds = (performance.now() - startedAt) / 1000;
      isQuick = seconds < QUICK_SECONDS;
      onSent(piece.size, seconds);
      isEnded = isLast;
    }
    return response;
  }

  /** Take over the server's offset; returns whether the response had one. */
  function takeOffset(kind, { status, reply, header }) {
    const serverOffset = header("Upload-Offset") ?? reply.offset;
    if (serverOffset == null || (status >= 300 && status !== 409)) return false;
    uploadUrl = header("Location") || uploadUrl;
    offset = Number(serverOffset);
    const isLost = isFinished && offset > size; // this device has not kept the end of the take
    if (isLost) restart();
    // An upload that went on before may be saved already.
    else if (kind === ANNOUNCE && offset > 0) offset = null;
    if (kind === ASK) isEnded = false;
    if (kind === PIECE && status < 300) {
      failures = 0;
      if (isQuick) pieceBytes = Math.min(pieceBytes * 2, largestPieceBytes);
    }
    if (offset !== null) onProgress(Math.min(offset, size), size);
    return true;
  }

  // Another offset than expected, or a take that is still being saved: no reason to ask at once.
  function needsPause(kind, { status }) {
    const isWaiting = status === 409 || (kind === ASK && offset === size && isFinished);
    if (isWaiting) failures++;
    return isWaiting;
  }

  async function hasFreshToken({ status, reply }) {
    return status === 400 && reply.reload && csrfRefreshes++ < MAX_CSRF_REFRESHES && refreshToken();
  }

  /** Say what is wrong, and wait for the next attempt. */
  async function recover(kind, { status, reply }) {
    const isPiece = kind === PIECE;
    const isUnknownUpload = kind !== ANNOUNCE && [404, 410].includes(status);
    const isSignedOut = status === 403 || (status === 404 && !isUnknownUpload);
    const isFinal = FINAL_STATUSES.includes(status) || (status === 413 && !canShrink(isPiece));
    const isRejected = status === 460 || (status === 400 && isPiece);
    if (isRejected && ++rejections >= MAX_REJECTIONS) restart();
    else if (isUnknownUpload) uploadUrl = null; // announce the take again
    // A line that breaks again and again lets a smaller piece through.
    if (canShrink(isPiece)) pieceBytes = Math.floor(pieceBytes / 2);
    if (status === 413) largestPieceBytes = pieceBytes;
    offset = null;
    isEnded = false;
    failures++;
    if (!isUnknownUpload && status !== 460) {
      const unavailable = (status >= 500 && reply.error) || TEXTS.connectionLost;
      const text = isSignedOut ? TEXTS.signedOut : unavailable;
      onProblem(isFinal ? reply.error || TEXTS.cannotBeSaved : text, isFinal, reply.next);
    }
    await pause(isFinal || isSignedOut ? null : delayMs());
  }

  function restart() {
    restarts++;
    rejections = 0;
    uploadUrl = offset = null;
  }

  // A proxy may allow less than this server does.
  function canShrink(isPiece) {
    return isPiece && pieceBytes >= 2 * MIN_PIECE_BYTES;
  }

  function delayMs() {
    return RETRY_DELAYS_MS[Math.min(failures - 1, RETRY_DELAYS_MS.length - 1)];
  }

  /** Wait for `milliseconds`, or with null until `retryNow` is called. */
  function pause(milliseconds) {
    return new Promise((resolve) => {
      const timer = milliseconds === null ? null : setTimeout(resolve, milliseconds);
      endWait = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
