// What runs at the ends of a link of limited bandwidth. `far`: a sink, a source and an echo, on ports that it prints; for
// each line that it reads it prints how many bytes each connection of the sink has received. `near`: asks, sends and
// receives through a tunnel; it prints a line when it begins to measure, and then what it has measured.

import { once } from 'node:events';
import net from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout } from 'node:timers/promises';

const CHUNK = Buffer.alloc(64 * 1024);
const REQUEST = Buffer.alloc(200);
const PAUSE = 50; // ms between two requests
const LATER = 2000; // ms

/** Writes for ever. */
function fill(socket) {
  while (socket.write(CHUNK));
  socket.once('drain', () => fill(socket));
}

const sinks = [];
const TARGETS = {
  sink: (socket) => sinks.push(socket.resume()),
  source: fill,
  echo: (socket) => socket.on('data', (bytes) => socket.write(bytes)),
};

async function far() {
  const ports = {};
  for (const [name, serve] of Object.entries(TARGETS)) {
    const server = net.createServer({ noDelay: true }, (socket) => serve(socket.on('error', () => {})));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    ports[name] = server.address().port;
  }
  console.log(JSON.stringify(ports));
  createInterface({ input: process.stdin }).on('line', () => {
    console.log(JSON.stringify(sinks.map(({ bytesRead }) => bytesRead)));
  });
}

/** Connects; waits for a tunnel that is about to listen. */
async function connect(port) {
  for (;;) {
    const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
    const error = await once(socket, 'connect').then(
      () => null,
      (reason) => reason,
    );
    if (!error) return socket;
    if (error.code !== 'ECONNREFUSED') throw error;
    await setTimeout(20);
  }
}

/** How long the answer to a request takes, in ms. */
async function ask(socket) {
  const began = performance.now();
  socket.write(REQUEST);
  for (let left = REQUEST.length; left > 0; ) left -= (await once(socket, 'data'))[0].length;
  return performance.now() - began;
}

const at = (times, part) => times[Math.min(times.length - 1, Math.floor(times.length * part))];

function percentiles(times) {
  times.sort((one, other) => one - other);
  return { p50: at(times, 0.5), p99: at(times, 0.99), asked: times.length };
}

/** Opens a tunnel to the targets; gives its ports. */
async function open(login, targets) {
  const { SSHTunnel } = await import('../../index.js');
  const tunnel = new SSHTunnel(login);
  await tunnel.promises.connect();
  const forward = async ([name, forwardPort]) => [
    name,
    (await tunnel.promises.forwardLocal({ forwardHost: '127.0.0.1', forwardPort })).localPort,
  ];
  return Object.fromEntries(await Promise.all(Object.entries(targets).map(forward)));
}

/** Opens connections with bulk data, some of them later than the others; counts what each has received. */
async function bulk(port, count, late, begin) {
  const sockets = [];
  for (let index = 0; index < count; index++) {
    if (index > 0 && index === count - late) await setTimeout(LATER);
    const socket = await connect(port);
    sockets.push(socket);
    begin(socket);
  }
  return () => sockets.map(({ bytesRead }) => bytesRead);
}

/**
 * Asks on some connections, beside others that transfer as much as they can and others that carry nothing.
 * @param ports through the tunnel, of a sink, a source and an echo; without them, a tunnel is opened with the
 *   options of `login` to these `targets`
 * @param late how many connections with bulk data begin later than the others
 */
async function near({
  login,
  targets,
  ports,
  up = 0,
  down = 0,
  late = 0,
  askers = 1,
  idle = 0,
  settle = 2,
  seconds = 4,
}) {
  ports ??= await open(login, targets);
  const all = [];
  for (let index = 0; index < askers + idle; index++) all.push(await connect(ports.echo));
  // Each has its channel.
  for (const socket of all) await ask(socket);
  const asking = all.slice(0, askers);
  let beside = null;
  const alone = [];
  for (let round = 0; askers > 0 && round < 20; round++) alone.push(await ask(asking[0]));

  await bulk(ports.sink, up, late, fill);
  const received = await bulk(ports.source, down, late, (it) => it.resume());
  const loop = async (socket) => {
    for (;;) {
      const time = await ask(socket);
      beside?.push(time);
      await setTimeout(PAUSE);
    }
  };
  for (const socket of asking) loop(socket);
  await setTimeout(settle * 1000);
  beside = [];
  console.log('{}');
  const before = received();
  const began = performance.now();
  await setTimeout(seconds * 1000);
  const elapsed = (performance.now() - began) / 1000;
  const rates = received().map((count, index) => ((count - before[index]) * 8e-6) / elapsed);
  const result = { alone: percentiles(alone), beside: percentiles(beside), down: rates, elapsed };
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit());
}

const [end, options] = process.argv.slice(2);
await (end === 'far' ? far() : near(JSON.parse(options)));
