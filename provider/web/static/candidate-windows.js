// The windows of one attempt in this browser: a pause in one of them hides the question in the others.

const CHANNEL = "attempt-paused";
const channel = "BroadcastChannel" in window ? new BroadcastChannel(CHANNEL) : null;

/** Tell the other windows that an attempt is paused; `statusUrl` is that of its status page. */
export function tellPause(statusUrl) {
  channel?.postMessage(statusUrl);
}

/** Call `onPause` when another window pauses the attempt. */
export function listenForPause(statusUrl, onPause) {
  channel?.addEventListener("message", ({ data }) => data === statusUrl && onPause());
}
