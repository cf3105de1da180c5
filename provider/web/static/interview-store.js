// Keeps a take on this device, in IndexedDB, until the server has saved all of it: a reload or a
// crash of the page loses nothing. A browser may refuse to store anything: the page works without it.

const STORE = "chunks";
const MAX_AGE_MS = 60 * 24 * 3600 * 1000; // of a take that was never sent; longer than a deadline
const TIMEOUT_MS = 3000; // the page goes on without a database that hangs

let database = null;

function openDatabase() {
  database ||= new Promise((resolve, reject) => {
    const request = indexedDB.open("interview-takes", 1);
    request.onupgradeneeded = () =>
      request.result.createObjectStore(STORE, { keyPath: ["question", "startedAt", "number"] });
    request.onsuccess = () => {
      request.result.onclose = forgetDatabase;
      resolve(request.result);
    };
    request.onerror = () => {
      forgetDatabase();
      reject(request.error);
    };
  });
  return database;
}

// The next use opens it again.
function forgetDatabase() {
  database = null;
}

/** Run `action` on the store; resolves with the result of its request, or null after an error. */
async function run(mode, action) {
  try {
    const transaction = (await openDatabase()).transaction(STORE, mode, { durability: "strict" });
    const request = action(transaction.objectStore(STORE));
    return await new Promise((resolve, reject) => {
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = () => reject(transaction.error);
    });
  } catch {
    return null;
  }
}

function orNullAfterTimeout(promise) {
  return Promise.race([promise, new Promise((resolve) => setTimeout(resolve, TIMEOUT_MS, null))]);
}

/** Ask the browser to clear nothing that this site has stored. */
export function askToPersist() {
  navigator.storage?.persist?.().catch(() => {});
}

/** Begin to keep a take of `question`, the path of its page. */
export function keepTake(question) {
  askToPersist();
  return keptTake(question, { startedAt: Date.now(), take: crypto.randomUUID(), number: 0 });
}

/**
 * `add` and `finish` resolve with null when the browser did not store the row. `id` names the take
 * for the server, also after a reload.
 */
function keptTake(question, { startedAt, take, number }) {
  const add = (values) => {
    const row = { question, startedAt, take, number: number++, ...values };
    return orNullAfterTimeout(run("readwrite", (store) => store.put(row)));
  };
  return {
    id: take,
    add: (chunk) => add({ chunk }),
    finish: () => add({ isEnd: true }),
    forget: () => forget(question, startedAt),
  };
}

/** Return the newest kept take of `question` with `chunks` and `isFinished`, or null. */
export async function loadTake(question) {
  await forgetOldTakes();
  const rows = (await run("readonly", (store) => store.getAll(keysOf(question)))) || [];
  const startedAt = rows.at(-1)?.startedAt;
  const ofTake = rows.filter((row) => row.startedAt === startedAt);
  // What follows a chunk that was not stored cannot be played.
  const gap = ofTake.findIndex((row, index) => row.number !== index || ofTake[index - 1]?.isEnd);
  const whole = gap < 0 ? ofTake : ofTake.slice(0, gap);
  const chunks = whole.flatMap((row) => row.chunk || []);
  if (!chunks.length) return null;
  const take = whole[0].take || `kept-${startedAt}`; // an earlier version of this page stored no id
  return {
    chunks,
    isFinished: Boolean(whole.at(-1).isEnd),
    ...keptTake(question, { startedAt, take, number: whole.length }),
  };
}

/** Return the paths of the questions below `path` with a kept take. */
export async function listKeptQuestions(path) {
  const keys = (await run("readonly", (store) => store.getAllKeys())) || [];
  return [...new Set(keys.map(([question]) => question))].filter((key) => key.startsWith(path));
}

function keysOf(...start) {
  return IDBKeyRange.bound(start, [...start, []]); // an array sorts after every other key
}

function forget(question, startedAt) {
  return orNullAfterTimeout(
    run("readwrite", (store) => store.delete(keysOf(question, startedAt))),
  );
}

async function forgetOldTakes() {
  const keys = (await run("readonly", (store) => store.getAllKeys())) || [];
  for (const [question, startedAt] of keys) {
    if (startedAt < Date.now() - MAX_AGE_MS) await forget(question, startedAt);
  }
}
