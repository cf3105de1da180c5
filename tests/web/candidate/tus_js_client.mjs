// Sends a file with tus-js-client and prints the URL of the upload. Arguments: the package's
// folder, the URL that creates uploads, the file, the size of a chunk, the mode, and headers as
// names and values. Modes: file; stream (the length is deferred); abort (ended in the middle).

import fs from "node:fs";
import { createRequire } from "node:module";
import { PassThrough } from "node:stream";

const [folder, endpoint, file, chunkSize, mode, ...headerParts] = process.argv.slice(2);
const tus = createRequire(import.meta.url)(folder);
const headers = {};
for (let i = 0; i < headerParts.length; i += 2) headers[headerParts[i]] = headerParts[i + 1];

// A stream that is no file has no length.
const isStream = mode === "stream";
const source = isStream ? fs.createReadStream(file).pipe(new PassThrough()) : fs.createReadStream(file);
const upload = new tus.Upload(source, {
  endpoint,
  headers,
  chunkSize: Number(chunkSize),
  uploadSize: isStream ? null : fs.statSync(file).size,
  uploadLengthDeferred: isStream,
  metadata: { filetype: "video/webm", take: "take-of-node" },
  retryDelays: [0, 10, 10],
  onChunkComplete(_, accepted) {
    if (mode === "abort" && accepted >= 2 * Number(chunkSize)) {
      const { url } = upload;
      upload.abort(true).then(() => console.log(url), fail);
    }
  },
  onSuccess: () => console.log(upload.url),
  onError: fail,
});
upload.start();

function fail(error) {
  console.error(String(error));
  process.exit(1);
}
