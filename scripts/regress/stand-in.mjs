// Runs the remote commands of one regress script, in the place of a session of the server: a client of the Unix socket
// names a command, and gets its streams and its exit status. It knows nothing of SSH.
//
//   node scripts/regress/stand-in.mjs FOLDER
//
// It listens on the socket `stand-in` of the folder. For remote forwards it connects to each socket that appears in `far`.
//
// Each connection begins with a line, JSON: { id, stream: 'stdin' | 'stdout' | 'stderr' } for the three streams of a
// command, and { id, command } for the command itself, which is answered by its { code } or { signal } in the end.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, watch } from 'node:fs';
import net from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';

import { CONNECTIONS, connect } from './relay.mjs';

const STREAMS = ['stdin', 'stdout', 'stderr'];

/** The connections of commands that are not complete yet. */
const calls = new Map();

/** Reads the first line; what follows stays in the socket. */
async function firstLine(socket) {
  const chunks = [];
  for (;;) {
    const byte = socket.read(1);
    if (byte === null) {
      await Promise.race([
        once(socket, 'readable'),
        once(socket, 'close').then(() => Promise.reject(new Error('closed'))),
      ]);
    } else if (byte[0] === 0x0a) {
      return JSON.parse(Buffer.concat(chunks).toString());
    } else {
      chunks.push(byte);
    }
  }
}

/** The environment of a session: that of a login, and what tells the shim where its script runs. */
function environment() {
  const { username, homedir, shell } = userInfo();
  const { PATH, REGRESS_RUN, REGRESS_FOLDER, REGRESS_ROUTE } = process.env;
  return {
    USER: username,
    LOGNAME: username,
    HOME: homedir,
    SHELL: shell ?? '/bin/sh',
    PATH,
    REGRESS_RUN,
    REGRESS_FOLDER,
    REGRESS_ROUTE,
  };
}

function start({ control, stdin, stdout, stderr, command }) {
  const child = spawn('/bin/sh', ['-c', command], { cwd: userInfo().homedir, env: environment() });
  for (const socket of [stdin, stdout, stderr]) socket.on('error', () => {});
  stdin.on('close', () => child.stdin.end()).pipe(child.stdin.on('error', () => {}));
  for (const [name, socket] of Object.entries({ stdout, stderr })) {
    child[name].pipe(socket);
    // A reader that has gone ends the writer by SIGPIPE.
    socket.on('close', () => child[name].destroy());
  }
  child.on('exit', (code, signal) => {
    stdin.destroy();
    control.end(`${JSON.stringify({ code, signal })}\n`);
  });
}

async function accept(socket) {
  socket.on('error', () => {});
  const { id, stream, command } = await firstLine(socket);
  const call = { ...calls.get(id), ...(stream === undefined ? { control: socket, command } : { [stream]: socket }) };
  calls.set(id, call);
  if (call.control === undefined || STREAMS.some((name) => call[name] === undefined)) return;
  calls.delete(id);
  start(call);
}

const server = net.createServer({ allowHalfOpen: true }, (socket) => accept(socket).catch(() => socket.destroy()));
const [, , folder] = process.argv;
const far = join(folder, 'far');
mkdirSync(far);
watch(far).on('change', (_, name) => {
  const path = join(far, name);
  if (!existsSync(path)) return;
  for (let left = CONNECTIONS; left > 0; left--) {
    connect(path).then(
      (socket) => accept(socket).catch(() => socket.destroy()),
      () => {},
    );
  }
});
server.listen(join(folder, 'stand-in'), () => console.log('ready'));
// Ends with the script: its runner holds the other end.
process.stdin.resume().on('end', () => process.exit());
