// Requests to an HTTP API behind an SSH server, without a local port:
//   node examples/api.mjs bastion.example 22 api.internal 8080 /status
// Ctrl-C ends it.

import { readFileSync } from 'node:fs';
import http from 'node:http';
import { homedir } from 'node:os';
import { json, text } from 'node:stream/consumers';
import { setTimeout } from 'node:timers/promises';
import { SSHTunnel } from 'sshtunnel-native/promises';

const [host, port, apiHost, apiPort, path = '/'] = process.argv.slice(2);
const AT_ONCE = 10;
const ATTEMPTS = 10;

const tunnel = new SSHTunnel({
  host,
  port: Number(port),
  privateKey: readFileSync(`${homedir()}/.ssh/id_ed25519`),
  keepaliveInterval: 10_000, // notices a server that disappears silently
  reconnect: true, // connections that are opened meanwhile wait for the next session
});
tunnel.on('ready', () => console.log('connected'));
tunnel.on('reconnecting', ({ error, delay }) => console.log(`${error.message}; again in ${delay} ms`));
tunnel.on('error', (error) => console.error(error.message));
let connections = 0;
tunnel.on('connection', () => connections++);
await tunnel.connect();

// With a socket and HTTP/1.0, where the end of the connection is the end of the response. A truncated
// response cannot look complete: 'end' of a socket of dial() is always the true end, otherwise it is ECONNRESET.
const socket = await tunnel.dial(apiHost, Number(apiPort));
socket.write(`GET ${path} HTTP/1.0\r\nHost: ${apiHost}:${apiPort}\r\n\r\n`);
const [statusLine] = (await text(socket)).split('\r\n');
console.log(statusLine);

// https.get() takes the same agent.
const agent = tunnel.httpAgent({ keepAlive: true, maxSockets: AT_ONCE });

function get() {
  return new Promise((resolve, reject) => {
    const request = http.get({ host: apiHost, port: apiPort, path, agent }, (response) => {
      json(response).then((value) => resolve({ status: response.statusCode, value }), reject);
    });
    request.on('error', reject); // also if the connection is cut during the response
  });
}

let [answered, repeated, stopping] = [0, 0, false];
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => (stopping = true));

/** Repeats a request until it succeeds, which is safe for GET. A response that is not JSON is a failure. */
async function ask() {
  for (let attempt = 1; ; attempt++) {
    try {
      return await get();
    } catch (error) {
      if (attempt === ATTEMPTS) throw error;
      repeated++;
      await setTimeout(attempt * 50);
    }
  }
}

async function work() {
  while (!stopping) {
    const { status, value } = await ask();
    if (status !== 200) throw new Error(`${status}: ${JSON.stringify(value)}`);
    if (++answered % 500 === 0) console.log(`${answered} answers`);
  }
}

await Promise.all(Array.from({ length: AT_ONCE }, work));
agent.destroy();
await tunnel.close({ timeout: 5000 });
console.log(`${answered} answers over ${connections} connections; ${repeated} were asked for again`);
