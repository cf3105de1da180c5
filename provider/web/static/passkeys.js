// Passkeys: adds one on the page "Your account", and signs in with one. A form names the act in
// `data-passkey`, and in `data-begin` the address that gives a challenge.

const FAILURES = {
  InvalidStateError: "This device has a passkey for your account already.",
  NotAllowedError: "The device was not asked, or the request ended. Try again.",
  SecurityError: "Passkeys do not work at this address.",
};

async function fetchOptions(form) {
  const response = await fetch(form.dataset.begin, { method: "POST", body: new FormData(form) });
  const isJson = response.headers.get("Content-Type")?.startsWith("application/json");
  if (!isJson) throw new Error("The server did not answer. Load the page again");
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

async function askDevice(act, options) {
  if (act === "create") {
    const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
    return navigator.credentials.create({ publicKey });
  }
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
  return navigator.credentials.get({ publicKey });
}

function showProblem(form, text) {
  const problem = form.querySelector("[role=alert]");
  problem.textContent = text;
  problem.hidden = !text;
}

async function answerAndSend(form) {
  const button = form.querySelector("button");
  button.disabled = true;
  showProblem(form, "");
  try {
    const credential = await askDevice(form.dataset.passkey, await fetchOptions(form));
    form.elements.credential.value = JSON.stringify(credential.toJSON());
    form.submit();
  } catch (error) {
    button.disabled = false;
    showProblem(form, FAILURES[error.name] ?? `${error.message}.`);
  }
}

if (window.PublicKeyCredential?.parseCreationOptionsFromJSON) {
  for (const form of document.querySelectorAll("form[data-passkey]")) {
    form.hidden = false;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      answerAndSend(form);
    });
  }
}
