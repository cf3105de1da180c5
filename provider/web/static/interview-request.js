// Requests of the upload of a take: a time limit without progress, and a fresh CSRF token.

const PROGRESS_TIMEOUT_MS = 60000; // without progress, after which a request is aborted

/** Return `send` and `refreshToken`; `csrf` is the token of the page. */
export function createRequester(csrf) {
  /**
   * Resolves with `{status, reply, header}`; the status is 0 without an answer. `onSent` gets the
   * bytes of the body that have left the browser.
   */
  function send(method, target, headers = {}, body = null, onSent = () => {}) {
    return new Promise((resolve) => {
      const request = new XMLHttpRequest();
      let timeout = null;
      const restartTimeout = () => {
        clearTimeout(timeout);
        timeout = setTimeout(() => request.abort(), PROGRESS_TIMEOUT_MS);
      };
      request.open(method, target);
      request.responseType = "json";
      const allHeaders = { Accept: "application/json", "X-CSRFToken": csrf, ...headers };
      for (const [name, value] of Object.entries(allHeaders)) request.setRequestHeader(name, value);
      if (body) {
        request.upload.addEventListener("progress", ({ loaded }) => {
          restartTimeout();
          onSent(loaded);
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
  async function refreshToken() {
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

  return { send, refreshToken };
}

/** Return the SHA-256 of a blob in base64. */
export async function sha256(blob) {
  const digest = await crypto.subtle.digest("SHA-256", await blob.arrayBuffer());
  return btoa(String.fromCharCode(...new Uint8Array(digest)));
}
