// An HTTP API behind an SSH server, asked for JSON without a local port:
//   node examples/api.mjs bastion.example 22 api.internal 8080 /status
// Ctrl-C ends it.

import { readFileSync } from 'node:fs';
import http from 'node:http';
import { homedir } from 'node:os';
import { json, text } from 'node:stream/consumers';
import { setTimeout } from 'node:timers/promises';
import { SSHTunnel } from 'sshtunnel-native';

const [host, port, apiHost, apiPort, path = '/'] = process.argv.slice(2);
const AT_ONCE = 10;
const ATTEMPTS = 10;

const tunnel = new SSHTunnel({
  host,
  port: Number(port),
  privateKey: readFileSync(`${homedir()}/.ssh/id_ed25519`),
  keepaliveInterval: 10_000, // so that a server which vanishes without a word is missed
  reconnect: true, // what is dialled meanwhile waits for the next session
});
tunnel.on('ready', () => console.log('connected'));
tunnel.on('reconnecting', ({ error, delay }) => console.log(`${error.message}; again in ${delay} ms`));
tunnel.on('error', (error) => console.error(error.message));
let connections = 0;
tunnel.on('connection', () => connections++);
await tunnel.promises.connect();

// By hand, and in HTTP/1.0, where the end of the connection is that of the answer: no answer that was
// cut looks whole, for what a socket of dial() takes for the end is one. Else it is ECONNRESET.
const socket = tunnel.dial(apiHost, Number(apiPort));
socket.write(`GET ${path} HTTP/1.0\r\nHost: ${apiHost}:${apiPort}\r\n\r\n`);
const [statusLine] = (await text(socket)).split('\r\n');
console.log(statusLine);

// https.get() would take the same agent.
const agent = tunnel.agent({ keepAlive: true, maxSockets: AT_ONCE });

function get() {
  return new Promise((resolve, reject) => {
    const request = http.get({ host: apiHost, port: apiPort, path, agent }, (response) => {
      json(response).then((value) => resolve({ status: response.statusCode, value }), reject);
    });
    request.on('error', reject); // also later, if the connection is cut within the answer
  });
}

let [answered, repeated, stopping] = [0, 0, false];
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => (stopping = true));

/** Asks until there is an answer: GET may be repeated. What is no JSON is no answer. */
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
