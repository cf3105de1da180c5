// Keeps a take on this device, in IndexedDB, until the server has it: a reload or a crash of the
// page loses nothing. A browser may refuse to store anything: the page then works without it.

const STORE = "chunks";
const MAX_AGE_MS = 7 * 24 * 3600 * 1000; // of a take that was never sent
const FORGET_TIMEOUT_MS = 1000; // the page goes on without a database that hangs

let database = null;

function openDatabase() {
  database ||= new Promise((resolve, reject) => {
    const request = indexedDB.open("interview-takes", 1);
    request.onupgradeneeded = () =>
      request.result.createObjectStore(STORE, { keyPath: ["question", "startedAt", "number"] });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  return database;
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

/** Begin to keep a take of `question`, a key of the order and the question. */
export function keepTake(question) {
  navigator.storage?.persist?.().catch(() => {}); // asks the browser not to clear the store
  return keptTake(question, Date.now(), 0);
}

function keptTake(question, startedAt, number) {
  const add = (values) =>
    run("readwrite", (store) => store.put({ question, startedAt, number: number++, ...values }));
  return {
    add: (chunk) => add({ chunk }),
    finish: () => add({ isEnd: true }),
    forget: () => forget(question, startedAt),
  };
}

/** Return the newest kept take of `question` with `blob` and `isFinished`, or null. */
export async function loadTake(question) {
  await forgetOldTakes();
  const rows = await run("readonly", (store) => store.getAll(keysOf(question)));
  const startedAt = rows?.at(-1)?.startedAt;
  const chunks = (rows || []).filter((row) => row.startedAt === startedAt && row.chunk);
  if (!chunks.length) return null;
  return {
    blob: new Blob(chunks.map((row) => row.chunk), { type: chunks[0].chunk.type }),
    isFinished: Boolean(rows.at(-1).isEnd),
    ...keptTake(question, startedAt, rows.at(-1).number + 1),
  };
}

function keysOf(...start) {
  return IDBKeyRange.bound(start, [...start, []]); // an array sorts after every other key
}

function forget(question, startedAt) {
  const timeout = new Promise((resolve) => setTimeout(resolve, FORGET_TIMEOUT_MS));
  const deleted = run("readwrite", (store) => store.delete(keysOf(question, startedAt)));
  return Promise.race([deleted, timeout]);
}

async function forgetOldTakes() {
  const keys = (await run("readonly", (store) => store.getAllKeys())) || [];
  for (const [question, startedAt] of keys) {
    if (startedAt < Date.now() - MAX_AGE_MS) await forget(question, startedAt);
  }
}
