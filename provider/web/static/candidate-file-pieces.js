// Sends a file in pieces until the server has every byte. After a broken line the server says how
// many bytes it has, and the sending goes on from there.

const RETRY_DELAYS_MS = [1000, 2000, 4000, 8000, 15000]; // the last one repeats
const REQUEST_TIMEOUT_MS = 120000;
const FIRST_PIECE_BYTES = 256 * 1024;
const MIN_PIECE_BYTES = 64 * 1024;
const MAX_RESTARTS = 5; // of a file from its first byte, and renewals of the form's token

/** Whether this browser can name a file by its hash: not on a page without https. */
export const canSendPieces = Boolean(globalThis.crypto?.subtle);

/**
 * Send `file`, and return the URL of the page to open then. `fields` are those of the form.
 * `onProgress` gets the share that has arrived, 0 to 1; `onTrouble` is called when the line breaks.
 * Throws an Error with the server's message for a file that is refused; its `next` may be a URL.
 */
export async function sendPieces(file, { url, fields, maxPieceBytes, onProgress, onTrouble }) {
  const announcement = { size: file.size, name: file.name, sha256: await hash(file) };
  let csrf = fields.get("csrf_token");
  let uploadUrl = null; // where the pieces go; null: the file is not announced
  let offset = null; // the bytes that the server has; null: unknown after a broken line
  let pieceBytes = Math.min(FIRST_PIECE_BYTES, maxPieceBytes);
  let failures = 0;
  let restarts = 0;
  for (;;) {
    const isPiece = uploadUrl !== null && offset !== null;
    const { status, reply } = await sendNext();
    if (status < 300 && reply.next) return reply.next;
    if (reply.offset !== undefined && (status < 300 || status === 409)) {
      uploadUrl = reply.upload || uploadUrl;
      offset = reply.offset;
      onProgress(offset / file.size);
      if (isPiece && status < 300) {
        failures = 0;
        pieceBytes = Math.min(pieceBytes * 2, maxPieceBytes);
      }
      continue;
    }
    if (status === 400 && reply.reload && restarts++ < MAX_RESTARTS) {
      if (await renewToken()) continue;
    }
    const isUnknown = uploadUrl !== null && (status === 404 || reply.restart);
    if (isUnknown && restarts++ < MAX_RESTARTS) {
      uploadUrl = offset = null; // announce the file again
      continue;
    }
    const canShrink = isPiece && pieceBytes >= 2 * MIN_PIECE_BYTES;
    const isRefused = status >= 400 && status < 500 && status !== 400 && status !== 429;
    if (isRefused && !(status === 413 && canShrink)) {
      throw Object.assign(new Error(reply.error || reply.message), { next: reply.next });
    }
    // A line that breaks again and again lets a smaller piece through.
    if (canShrink) pieceBytes = Math.floor(pieceBytes / 2);
    offset = null;
    onTrouble();
    await pause(RETRY_DELAYS_MS[Math.min(failures++, RETRY_DELAYS_MS.length - 1)]);
  }

  function sendNext() {
    if (uploadUrl === null) {
      const body = new FormData();
      for (const [name, value] of Object.entries(announcement)) body.set(name, value);
      if (fields.has("given_at")) body.set("given_at", fields.get("given_at"));
      return send("POST", url, { body });
    }
    if (offset === null) return send("GET", uploadUrl);
    const body = file.slice(offset, offset + pieceBytes);
    const headers = { "Upload-Offset": offset, "Content-Type": "application/offset+octet-stream" };
    return send("PATCH", uploadUrl, { body, headers });
  }

  async function send(method, target, { body, headers } = {}) {
    try {
      const response = await fetch(target, {
        method,
        body,
        headers: { Accept: "application/json", "X-CSRFToken": csrf, ...headers },
        signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
      });
      return { status: response.status, reply: await response.json().catch(() => ({})) };
    } catch {
      return { status: 0, reply: {} };
    }
  }

  // The token comes from a copy of the page: a reload would forget the chosen file.
  async function renewToken() {
    try {
      const page = await (await fetch(location.href)).text();
      const parsed = new DOMParser().parseFromString(page, "text/html");
      csrf = parsed.querySelector("[name=csrf_token]")?.value || csrf;
      return true;
    } catch {
      return false;
    }
  }
}

/** Wait for `milliseconds`, or until the line is back. */
function pause(milliseconds) {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      removeEventListener("online", end);
      resolve();
    };
    const timer = setTimeout(end, milliseconds);
    addEventListener("online", end);
  });
}

async function hash(file) {
  const digest = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
