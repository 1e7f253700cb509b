// What view.mjs takes a picture of: the command in a terminal, in front of a real server, with connections that move data. It
// runs in a network of its own, where the hosts have names, and prints what the terminal shows after some keys:
//
//   node scripts/screenshots/scene.mjs <columns> <rows> [key ...]

import { once } from 'node:events';
import { createServer, connect as dial } from 'node:net';
import { setTimeout } from 'node:timers/promises';

import { Setting } from '../../__test__/helpers/cli.mjs';
import { greeting, request5 } from '../../__test__/helpers/socks.mjs';
import { Sshd } from '../../__test__/helpers/sshd.mjs';
import { Tmux } from '../../__test__/helpers/tmux.mjs';

const [columns, rows, ...keys] = process.argv.slice(2);
/** Milliseconds between connections, so that their ages differ, and after the last one. */
const APART = 1100;
const REST = 5000;
/** Milliseconds until keys have had their effect. */
const SHOWN = 500;

const cleanups = [];
const t = { after: (cleanup) => cleanups.unshift(cleanup) };

/** A server on this address that does this with each connection. */
async function serve(host, port, behavior) {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {});
    behavior(socket);
  }).listen(port, host);
  await once(server, 'listening');
  t.after(() => server.close());
}

/** Sends this many bytes ten times a second. */
function pour(socket, size) {
  const timer = setInterval(() => socket.write(Buffer.alloc(size)), 100);
  socket.on('close', () => clearInterval(timer));
}

async function client(port) {
  const socket = dial({ port, host: '127.0.0.1' });
  socket.on('error', () => {});
  t.after(() => socket.destroy());
  await once(socket, 'connect');
  return socket;
}

/** A client of a SOCKS 5 proxy. */
async function viaSocks(port, host, hostPort) {
  const socket = await client(port);
  socket.write(greeting(0));
  await once(socket, 'data');
  socket.write(request5(host, hostPort));
  await once(socket, 'data');
  return socket;
}

const server = await Sshd.start();
t.after(() => server.stop());
// The port that everybody knows, where sshd of the tests does not listen.
await serve('bastion', 22, (socket) => {
  const other = dial({ port: server.port, host: '127.0.0.1', allowHalfOpen: true });
  other.on('error', () => socket.destroy());
  socket.pipe(other).pipe(socket);
});
const setting = new Setting(server);
t.after(() => setting.remove());
const knownHosts = setting.file('known_hosts', `bastion ${server.hostKeys[0].publicKey}\n`);
const options = setting.options({ knownHosts }).filter((option, at, all) => option !== '-p' && all[at - 1] !== '-p');

await serve('db.internal', 5432, (socket) => {
  // The first byte says how fast the client wants its data.
  socket.once('data', (bytes) => {
    pour(socket, bytes[0] * 4096);
    socket.on('end', () => socket.end());
  });
});
await serve('cache.internal', 6379, (socket) => socket.pipe(socket));
await serve('wiki.internal', 443, (socket) => {
  pour(socket, 48_000);
  socket.on('end', () => socket.end());
});
await serve('127.0.0.1', 3000, (socket) => socket.pipe(socket));

const forwards = ['-L', '5432:db.internal:5432', '-L', '6379:cache.internal:6379', '-D', '1080'];
const terminal = Tmux.command(t, ['-4', ...forwards, '-R', '9000:localhost:3000', ...options, 'me@bastion'], {
  columns: Number(columns),
  rows: Number(rows),
});
await terminal.shows(/Connections/);

// Connections that have ended: completely, without a target, and cut.
const short = await client(6379);
short.write(Buffer.alloc(180_000));
short.resume().end();
await once(short, 'close');
const lost = await client(5432);
lost.write(Buffer.from([255]));
await once(lost, 'readable');
await setTimeout(1500);
lost.resetAndDestroy();
const refused = await viaSocks(1080, 'wiki.internal', 80);
refused.destroy();

// Connections that are open.
const starts = [
  ...[32, 5, 1, 0].map((speed) => async () => (await client(5432)).resume().write(Buffer.from([speed]))),
  ...[26_000, 700].map((size) => async () => pour((await client(6379)).resume(), size)),
  async () => (await viaSocks(1080, 'wiki.internal', 443)).resume(),
];
for (const start of starts) {
  await start();
  await setTimeout(APART);
}
await setTimeout(REST);
for (const key of keys) await terminal.press(key);
await setTimeout(SHOWN);
process.stdout.write((await terminal.lines({ colors: true })).join('\n'));

for (const cleanup of cleanups) await cleanup();
process.exit();
