// Asks the server for a question. It is not in the page before, and its time to think begins then.

import { TEXTS } from "./candidate-texts.js";

const TIMEOUT_MS = 20000;

/**
 * Resolves with `{question, think_seconds_left}`, or throws `{text, next}`: what to tell, and the
 * address of a page that says more.
 */
export async function fetchQuestion({ showUrl, csrf }) {
  let response;
  let reply;
  try {
    response = await fetch(showUrl, {
      method: "POST",
      headers: { Accept: "application/json", "X-CSRFToken": csrf },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    reply = await response.json();
  } catch {
    throw { text: TEXTS.questionNotLoaded };
  }
  if (response.ok) return reply;
  if (response.status === 400 && reply.reload) throw { text: TEXTS.pageIsOld, next: location.href };
  if (response.status === 403) throw { text: TEXTS.signedOutBeforeShow };
  throw { text: reply.error || TEXTS.questionNotLoaded, next: reply.next };
}
