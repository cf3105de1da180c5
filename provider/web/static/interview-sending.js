// Sends one take until the server has every byte of it; the take stays in memory until then.

const WAITS = [1000, 2000, 4000, 8000, 15000]; // milliseconds between tries; the last repeats
const PATIENCE = 60000; // milliseconds without any progress after which a try is given up
const LOST = "The connection was lost. We keep trying, and nothing is lost while this page is open.";
const LOCKED =
  "This browser is not signed in to your interview any more. Please open the link in your e-mail " +
  "in another tab of this browser, come back here and press “Try again now”.";

/**
 * Send `blob`; resolves with the server's reply once it is saved. `onProgress` is told the share
 * that is sent, `onTrouble` a message and whether it is final. `take.again()` tries at once.
 */
export function sendTake(blob, { url, csrf, onProgress, onTrouble }) {
  let wake = () => {};
  const take = { again: () => wake(), saved: work() };
  addEventListener("online", take.again);
  return take;

  async function work() {
    const digest = await sha256(blob);
    for (let tries = 0; ; tries++) {
      onProgress(0);
      const { status, reply } = await post(digest);
      if (status === 200 || status === 201) return reply;
      if (status === 400 && reply.reload && (await freshProof()) && tries < 20) continue;
      const final = [409, 411, 413, 415].includes(status);
      const locked = status === 403 || status === 404;
      const words = final ? reply.error || "It cannot be kept." : locked ? LOCKED : LOST;
      onTrouble(words, final, reply.next);
      await rest(final || locked ? null : WAITS[Math.min(tries, WAITS.length - 1)]);
    }
  }

  function post(digest) {
    return new Promise((resolve) => {
      const request = new XMLHttpRequest();
      let patience = null;
      const wait = () => {
        clearTimeout(patience);
        patience = setTimeout(() => request.abort(), PATIENCE);
      };
      request.open("POST", url);
      request.responseType = "json";
      request.setRequestHeader("Accept", "application/json");
      request.setRequestHeader("Content-Type", blob.type);
      request.setRequestHeader("X-Content-SHA256", digest);
      request.setRequestHeader("X-CSRFToken", csrf);
      request.upload.addEventListener("progress", (event) => {
        wait();
        onProgress(event.loaded / Math.max(event.total, 1));
      });
      request.addEventListener("loadend", () => {
        clearTimeout(patience);
        resolve({ status: request.status, reply: request.response || {} });
      });
      wait();
      request.send(blob);
    });
  }

  // The form's proof has gone stale; loading the page again would lose the take.
  async function freshProof() {
    try {
      const page = await (await fetch(location.href)).text();
      const found = new DOMParser().parseFromString(page, "text/html").querySelector("[data-csrf]");
      csrf = found?.dataset.csrf || csrf;
      return Boolean(found);
    } catch {
      return false;
    }
  }

  function rest(milliseconds) {
    return new Promise((resolve) => {
      const timer = milliseconds === null ? null : setTimeout(resolve, milliseconds);
      wake = () => {
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
