// Sends one take in pieces until the server has every byte. After a broken line the server says how
// many bytes it has, and the sending goes on from there.

import { TEXTS } from "./candidate-texts.js";

const RETRY_DELAYS_MS = [1000, 2000, 4000, 8000, 15000]; // the last one repeats
const PROGRESS_TIMEOUT_MS = 60000; // without progress, after which a request is aborted
const MIN_PIECE_BYTES = 64 * 1024;
const MAX_CSRF_REFRESHES = 20;
const FINAL_STATUSES = [409, 411, 415];
const TUS = { "Tus-Resumable": "1.0.0" };

/**
 * Send `blob`; the returned `saved` resolves with the server's reply once the take is saved.
 * `onProgress` gets the share that is sent, 0 to 1. `onProblem` gets a message, whether it is final,
 * and the URL to open then. `retryNow` ends the wait before the next attempt.
 */
export function sendTake(blob, { url, csrf, maxPieceBytes, onProgress, onProblem }) {
  let endWait = () => {};
  let uploadUrl = null; // where the pieces go; null: the take is not announced
  let offset = null; // the bytes that the server has; null: unknown after a broken line
  let pieceBytes = maxPieceBytes;
  const take = { retryNow: () => endWait(), saved: sendUntilSaved() };
  addEventListener("online", take.retryNow);
  return take;

  async function sendUntilSaved() {
    const metadata = `sha256 ${btoa(await sha256(blob))},filetype ${btoa(blob.type)}`;
    let failures = 0;
    let csrfRefreshes = 0;
    onProgress(0);
    for (;;) {
      const isPiece = uploadUrl !== null && offset !== null;
      const isComplete = uploadUrl !== null && offset === blob.size;
      const { status, reply, header } = await sendNext(metadata);
      if (reply.saved) return reply;
      const serverOffset = header("Upload-Offset");
      if (!isComplete && serverOffset !== null && (status < 300 || status === 409)) {
        uploadUrl = header("Location") || uploadUrl;
        offset = Number(serverOffset);
        onProgress(offset / blob.size);
        if (isPiece && status < 300) {
          failures = 0;
          pieceBytes = Math.min(pieceBytes * 2, maxPieceBytes);
        }
        continue;
      }
      if (status === 400 && reply.reload && csrfRefreshes++ < MAX_CSRF_REFRESHES) {
        if (await refreshCsrfToken()) continue;
      }
      const isUnknownUpload = uploadUrl !== null && status === 404;
      const isSignedOut = status === 403 || (status === 404 && !isUnknownUpload);
      const isFinal = FINAL_STATUSES.includes(status) || (status === 413 && !canShrink(isPiece));
      if (isUnknownUpload || status === 400 || status === 460) uploadUrl = null; // announce the take again
      // A line that breaks again and again lets a smaller piece through.
      if (canShrink(isPiece)) pieceBytes = Math.floor(pieceBytes / 2);
      offset = null;
      if (!isUnknownUpload) {
        const unavailable = (status === 503 && reply.error) || TEXTS.connectionLost;
        const text = isSignedOut ? TEXTS.signedOut : unavailable;
        onProblem(isFinal ? reply.error || TEXTS.cannotBeSaved : text, isFinal, reply.next);
      }
      const delay = RETRY_DELAYS_MS[Math.min(failures++, RETRY_DELAYS_MS.length - 1)];
      await pause(isFinal || isSignedOut ? null : delay);
    }
  }

  // A proxy may allow less than this server does.
  function canShrink(isPiece) {
    return isPiece && pieceBytes >= 2 * MIN_PIECE_BYTES;
  }

  function sendNext(metadata) {
    if (uploadUrl === null) {
      return send("POST", url, { "Upload-Length": blob.size, "Upload-Metadata": metadata });
    }
    if (offset === null) return send("HEAD", uploadUrl, {});
    if (offset === blob.size) return send("GET", uploadUrl, {}); // has the recording's id
    const piece = blob.slice(offset, offset + pieceBytes);
    const headers = { "Upload-Offset": offset, "Content-Type": "application/offset+octet-stream" };
    return send("PATCH", uploadUrl, headers, piece);
  }

  function send(method, target, headers, body = null) {
    return new Promise((resolve) => {
      const request = new XMLHttpRequest();
      let timeout = null;
      const restartTimeout = () => {
        clearTimeout(timeout);
        timeout = setTimeout(() => request.abort(), PROGRESS_TIMEOUT_MS);
      };
      request.open(method, target);
      request.responseType = "json";
      const allHeaders = { Accept: "application/json", "X-CSRFToken": csrf, ...TUS, ...headers };
      for (const [name, value] of Object.entries(allHeaders)) request.setRequestHeader(name, value);
      if (body) {
        request.upload.addEventListener("progress", ({ loaded }) => {
          restartTimeout();
          onProgress(Math.min(1, (offset + loaded) / blob.size));
        });
      }
      request.addEventListener("loadend", () => {
        clearTimeout(timeout);
        const { status, response } = request;
        const header = (name) => request.getResponseHeader(name);
        resolve({ status, reply: response || {}, header });
      });
      restartTimeout();
      request.send(body);
    });
  }

  // The token comes from a copy of the page: a reload would interrupt the candidate.
  async function refreshCsrfToken() {
    try {
      const page = await (await fetch(location.href)).text();
      const parsed = new DOMParser().parseFromString(page, "text/html");
      const element = parsed.querySelector("[data-csrf]");
      csrf = element?.dataset.csrf || csrf;
      return Boolean(element);
    } catch {
      return false;
    }
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

async function sha256(blob) {
  const digest = await crypto.subtle.digest("SHA-256", await blob.arrayBuffer());
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
