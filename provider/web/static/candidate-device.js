// The devices of one attempt: a page tells the server which device has opened the test last, and
// shows a notice when that is another one. The answers need no such rule: the newest one counts.

const NAME_KEY = "device";

/** Return a random name of this browser; without storage, of this page. */
function deviceName() {
  const name = crypto.randomUUID?.().replaceAll("-", "") ?? String(Math.random()).slice(2);
  try {
    const known = localStorage.getItem(NAME_KEY);
    if (!known) localStorage.setItem(NAME_KEY, name);
    return known ?? name;
  } catch {
    return name;
  }
}

/** Claim the attempt for this device. Return a function that gets each reply of the server. */
export function watchDevices(attempt) {
  if (!attempt.dataset.deviceUrl) return () => {}; // this attempt has no newest device
  const name = deviceName();
  const notice = document.querySelector('[data-notice="device"]');
  let isClaimed = attempt.dataset.device === name;
  if (!isClaimed) claim();

  async function claim() {
    const { deviceUrl, csrf } = attempt.dataset;
    const headers = { Accept: "application/json", "X-CSRFToken": csrf };
    try {
      const body = new URLSearchParams({ device: name });
      isClaimed = (await fetch(deviceUrl, { method: "POST", headers, body })).ok;
    } catch {
      // The next page tries again.
    }
  }

  return ({ device }) => {
    if (isClaimed && device !== undefined) notice.hidden = !device || device === name;
  };
}
