// The command `sshtunnel` with -W: standard input and output as a connection.

import assert from 'node:assert/strict';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { Cli, Setting, echo } from '../helpers/cli.mjs';
import { MIB, PATTERN, behaviors, patternHash, refusingPort } from '../helpers/peers.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { assertIncludes } from '../helpers/tunnels.mjs';

const server = await Sshd.start();
const setting = new Setting(server);
after(() => Promise.all([server.stop(), setting.remove()]));

test('-W relays standard input and output with half-close', async (t) => {
  const target = await echo(t, behaviors.replier(MIB));
  const child = setting.start(t, ['-W', `127.0.0.1:${target.port}`], { stdin: 'pipe' });
  child.child.stdin.end('until here');
  const { status, stdout, stderr } = await child.end();
  assert.deepEqual([status, stderr], [0, '']);
  assert.ok(stdout.length > 0);
  assertIncludes(await (await target.next()).ended, { bytes: 10, end: 'FIN' });
  const { port, stop } = await refusingPort();
  t.after(stop);
  const refused = await setting.start(t, ['-W', `127.0.0.1:${port}`]).end();
  assert.deepEqual(refused, {
    status: 255,
    stdout: '',
    stderr: 'channel 0: open failed: connect failed: Connection refused\nstdio forwarding failed\n',
  });
});

test('-W delivers its input after the target has ended', async (t) => {
  const target = await echo(t, (peer) => peer.read().end());
  const child = setting.start(t, ['-W', `127.0.0.1:${target.port}`], { stdin: 'pipe' });
  const peer = await target.next();
  child.child.stdin.write(PATTERN.subarray(0, 1000));
  await peer.received(1000);
  child.child.stdin.end(PATTERN.subarray(1000));
  assertIncludes(await peer.ended, { bytes: PATTERN.length, sha256: patternHash(PATTERN.length), end: 'FIN' });
  assert.equal(await child.exit, 0);
});

test('-W exits with an error when the stream was cut', async (t) => {
  const ownServer = await Sshd.start();
  const own = new Setting(ownServer);
  t.after(() => Promise.all([ownServer.stop(), own.remove()]));
  const target = await echo(t);
  const child = Cli.start(t, ['-W', `127.0.0.1:${target.port}`, ...own.options(), '127.0.0.1'], { stdin: 'pipe' });
  child.child.stdin.write('over');
  await child.says('stdout', /^over$/);
  ownServer.killSessions();
  const { status, stderr } = await child.end();
  assert.equal(status, 255);
  assert.match(stderr, /stdio forwarding failed\n$/);
});
