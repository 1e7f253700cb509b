// A program with a tunnel whose secrets arrive as bytes. Its memory is scanned from outside, so no secret may be in its
// arguments, its source or a string. The secrets come from standard input, and the commands from another pipe.

import { once } from 'node:events';
import { readSync } from 'node:fs';

import { SSHTunnel } from '../../index.js';

const { options, secrets, config } = JSON.parse(process.argv[2]);
const taken = [];

const GO_ON = 3;

function exactly(length, descriptor = 0) {
  const bytes = Buffer.from(new ArrayBuffer(length));
  for (let at = 0; at < length; ) at += readSync(descriptor, bytes, at, length - at, null);
  return bytes;
}

/** The next secret of standard input: its length in four bytes, then itself. */
function take() {
  const bytes = exactly(exactly(4).readUInt32BE());
  taken.push(bytes);
  return bytes;
}

function wipe() {
  for (const bytes of taken.splice(0)) bytes.fill(0);
}

/** Reports the stage, and continues on request. */
function stage(name) {
  wipe();
  process.stdout.write(`${name}\n`);
  exactly(1, GO_ON);
}

for (const name of secrets) {
  // Those of functions and questions are taken when they are asked for.
  if (name.endsWith('()')) options[name.slice(0, -2)] = () => take();
  else if (name !== 'response') options[name] = take();
}
const tunnel = config === undefined ? new SSHTunnel(options) : SSHTunnel.fromConfig(config, options);
tunnel.on('keyboard-interactive', (name, instructions, lang, prompts, finish) => {
  finish([take()]);
  wipe();
});
// A constructor that throws keeps nothing either.
for (const wrong of [{ port: -1 }, { linger: 'x' }, { hostKey: ['x'] }]) {
  try {
    new SSHTunnel({ ...options, ...wrong });
  } catch {
    continue;
  }
  throw new Error('it takes anything');
}
stage('made');
await tunnel.promises.connect();
stage('connected');
await tunnel.promises.shutdown();
// The tunnel still has what it needs to authenticate again.
await tunnel.promises.connect();
stage('connected again');
const gone = once(tunnel, 'close');
await tunnel.promises.shutdown();
await gone;
stage('closed');
