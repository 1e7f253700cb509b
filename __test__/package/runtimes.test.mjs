// Other runtimes with Node-API: what they do beside Node.js, with the same program and the same peers. `npm run platforms`
// gives the command of Node.js for another platform in the variable RUNTIME, and runs the first of its tests.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after } from 'node:test';

import { closingRows } from '../../scripts/platforms/run.mjs';
import { test } from '../helpers/bounded.mjs';
import { nodeProgram, npmPackage } from '../helpers/npm-programs.mjs';
import { Target, behaviors, refusingPort } from '../helpers/peers.mjs';
import { ROOT, run } from '../helpers/process.mjs';
import { Sshd } from '../helpers/sshd.mjs';

const program = join(ROOT, '__test__', 'helpers', 'runtime-process.mjs');

/** The permissions that docs/runtimes.md names, and that of the program itself to use sockets. */
const PERMISSIONS = ['ffi', 'read', 'env', 'sys', 'net'].map((name) => `--allow-${name}`);

const given = process.env.RUNTIME && JSON.parse(process.env.RUNTIME);

const isLinux = process.platform === 'linux' && process.arch === 'x64';

/** Other versions of Node.js, for which the closing table is not run. */
const NODES = given
  ? {}
  : Object.fromEntries(
      ['22.23.5', '24.21.0', '26.10.0'].map((version) => {
        const program = isLinux ? nodeProgram(version) : null;
        return [`Node.js ${version}`, program === null ? undefined : [program]];
      }),
    );

/** The command of each runtime, or undefined where it cannot be had; npmPackage() has printed why. */
const RUNTIMES =
  given ??
  Object.fromEntries(
    Object.entries({
      bun: ['@oven/bun-linux-x64-baseline@1.4.5', ['bin/bun', 'run']],
      deno: ['@deno/linux-x64-glibc@2.9.6', ['deno', 'run', '--no-prompt', ...PERMISSIONS]],
    }).map(([name, [spec, [path, ...args]]]) => {
      const folder = isLinux ? npmPackage(spec) : null;
      return [name, folder === null ? undefined : [join(folder, path), ...args]];
    }),
  );

/** Deno and Node.js for Windows have no descriptors for their sockets. */
const SOCKET = 'options of a socket of the runtime';
const REFUSED = ['getsockopt', 'setsockopt', 'getsockopt', 'closesocket', 'getsockopt'].map((syscall) => ({
  code: 'ENOTSUP',
  syscall,
}));

const server = await Sshd.start();
const refusing = await refusingPort();
after(() => Promise.all([server.stop(), refusing.stop()]));

const endsOf = ({ peers }) => Promise.all(peers.map(({ ended }) => ended.then(({ bytes, end }) => ({ bytes, end }))));

/** Runs the program; returns the results of its parts by their names, and how the targets' connections ended. */
async function play([command, ...args]) {
  const [echo, sink] = await Promise.all([Target.start(behaviors.echo()), Target.start(behaviors.sink())]);
  try {
    const ports = { echo: echo.port, sink: sink.port, refusing: refusing.port, node: process.execPath };
    const given = JSON.stringify({ login: server.login, ...ports });
    const { code, signal, stdout, stderr } = await run(command, [...args, program, given], { timeout: 90_000 });
    assert.deepEqual([code, signal], [0, null], `${stdout}${stderr}`);
    // Wine prints what it misses, too.
    const lines = stdout
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line));
    const parts = Object.fromEntries(lines.map(({ part, ...outcome }) => [part, outcome]));
    return { parts, echoed: await endsOf(echo), sunk: await endsOf(sink) };
  } finally {
    await Promise.all([echo.stop(), sink.stop()]);
  }
}

const node = await play([process.execPath]);

test('the program has no error in Node.js, and its peers see every end', () => {
  for (const [part, { error }] of Object.entries(node.parts)) assert.equal(error, undefined, part);
  assert.ok(node.echoed.length >= 6 && node.echoed.every(({ end }) => end === 'FIN'), JSON.stringify(node.echoed));
  // Of destroy(), resetAndDestroy() and closesocket(): the SSH server ends with FIN in any case.
  assert.deepEqual(
    node.sunk.map(({ end }) => end),
    ['FIN', 'FIN', 'ECONNRESET'],
  );
});

for (const [name, command] of Object.entries({ ...NODES, ...RUNTIMES })) {
  const options = { timeout: 120_000, skip: command === undefined && `${name} cannot be had here` };

  test(`${name} does what Node.js does, and the peers see the same`, options, async (t) => {
    const { parts, echoed, sunk } = await play(command);
    const expected = structuredClone(node);
    if (name === 'deno' || name.startsWith('win32')) {
      expected.parts[SOCKET] = { result: REFUSED };
      // The runtime itself has closed the socket.
      expected.sunk[2].end = 'FIN';
    }
    for (const part of Object.keys(expected.parts)) assert.deepEqual(parts[part], expected.parts[part], part);
    assert.deepEqual([echoed, sunk], [expected.echoed, expected.sunk]);
    t.diagnostic(`${Object.keys(parts).length} parts`);
  });

  if (given || name in NODES) continue;

  test(`${name} passes the closing table`, { ...options, timeout: 900_000 }, (t) => {
    const { passed, all, failed } = closingRows(command, {});
    assert.deepEqual([failed, passed], [[], all]);
    assert.ok(all >= 84);
    t.diagnostic(`${passed} of ${all}`);
  });
}
