// Node's client of HTTP/2: asks all that a test wants to know over one connection, and prints what came as JSON.
// node client.mjs https://127.0.0.1:PORT authority.pem

import fs from "node:fs";
import http2 from "node:http2";

const [address, authority] = process.argv.slice(2);
const session = http2.connect(address, { ca: fs.readFileSync(authority), servername: "localhost" });
session.on("error", (error) => {
  throw error;
});

function ask(head, body) {
  return new Promise((resolve, reject) => {
    const stream = session.request(head, { endStream: body === undefined });
    const seen = { status: 0, bytes: 0, text: "", interim: [] };
    stream.on("headers", (fields) => seen.interim.push(fields[":status"]));
    stream.on("response", (fields) => (seen.status = fields[":status"]));
    stream.on("data", (piece) => {
      seen.bytes += piece.length;
      if (seen.bytes < 100) seen.text += piece;
    });
    stream.on("error", reject);
    stream.on("close", () => resolve({ ...seen, code: stream.rstCode }));
    if (body !== undefined) stream.end(body);
  });
}

const found = {};
found.hello = await ask({ ":path": "/" });
found.head = await ask({ ":path": "/", ":method": "HEAD" });
// More at once than a connection's window holds, each larger than a stream's.
found.large = await Promise.all(Array.from({ length: 8 }, () => ask({ ":path": "/large" })));
found.upload = await ask({ ":path": "/length", ":method": "POST" }, Buffer.alloc(5_000_001));
found.waits = await ask({ ":path": "/length", ":method": "POST", expect: "100-continue" }, "body");
found.stream = await ask({ ":path": "/stream" });
// A response that is not wanted any more does the others no harm.
const left = session.request({ ":path": "/large" });
left.on("error", () => {});
await new Promise((resolve) => left.on("response", resolve));
left.close(http2.constants.NGHTTP2_CANCEL);
found.after = await ask({ ":path": "/" });
found.protocol = session.alpnProtocol;
// Waits for what the server says to a PING, so the connection is still one.
found.ping = await new Promise((resolve) => session.ping((error) => resolve(error === null)));
session.close();
console.log(JSON.stringify(found));
