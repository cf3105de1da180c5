// Uploads one take until the server has every byte; the take stays in memory until then.

import { TEXTS } from "./candidate-texts.js";

const RETRY_DELAYS_MS = [1000, 2000, 4000, 8000, 15000]; // the last one repeats
const PROGRESS_TIMEOUT_MS = 60000; // without progress, after which a request is aborted
const MAX_CSRF_REFRESHES = 20;

/**
 * Upload `blob`; the returned `saved` resolves with the server's reply once the take is saved.
 * `onProgress` gets the share that is sent, 0 to 1. `onProblem` gets a message, whether it is final,
 * and the URL to open then. `retryNow` ends the wait before the next attempt.
 */
export function uploadTake(blob, { url, csrf, onProgress, onProblem }) {
  let endWait = () => {};
  const upload = { retryNow: () => endWait(), saved: uploadUntilSaved() };
  addEventListener("online", upload.retryNow);
  return upload;

  async function uploadUntilSaved() {
    const digest = await sha256(blob);
    for (let attempts = 0; ; attempts++) {
      onProgress(0);
      const { status, reply } = await post(digest);
      if (status === 200 || status === 201) return reply;
      const isCsrfExpired = status === 400 && reply.reload;
      if (isCsrfExpired && (await refreshCsrfToken()) && attempts < MAX_CSRF_REFRESHES) continue;
      const isFinal = [409, 411, 413, 415].includes(status);
      const isSignedOut = status === 403 || status === 404;
      const text = isSignedOut ? TEXTS.signedOut : TEXTS.connectionLost;
      onProblem(isFinal ? reply.error || TEXTS.cannotBeSaved : text, isFinal, reply.next);
      const delay = RETRY_DELAYS_MS[Math.min(attempts, RETRY_DELAYS_MS.length - 1)];
      await pause(isFinal || isSignedOut ? null : delay);
    }
  }

  function post(digest) {
    return new Promise((resolve) => {
      const request = new XMLHttpRequest();
      let timeout = null;
      const restartTimeout = () => {
        clearTimeout(timeout);
        timeout = setTimeout(() => request.abort(), PROGRESS_TIMEOUT_MS);
      };
      request.open("POST", url);
      request.responseType = "json";
      request.setRequestHeader("Accept", "application/json");
      request.setRequestHeader("Content-Type", blob.type);
      request.setRequestHeader("X-Content-SHA256", digest);
      request.setRequestHeader("X-CSRFToken", csrf);
      request.upload.addEventListener("progress", (event) => {
        restartTimeout();
        onProgress(event.loaded / Math.max(event.total, 1));
      });
      request.addEventListener("loadend", () => {
        clearTimeout(timeout);
        resolve({ status: request.status, reply: request.response || {} });
      });
      restartTimeout();
      request.send(blob);
    });
  }

  // The token comes from a copy of the page: a reload would lose the take.
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
