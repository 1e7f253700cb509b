// Memory of a dial() socket whose reader pauses.

import assert from 'node:assert/strict';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { GIB, MIB, Target, behaviors, patternHash, settled } from '../helpers/peers.mjs';
import { Child } from '../helpers/process.mjs';
import { Sshd } from '../helpers/sshd.mjs';

const server = await Sshd.start();
after(() => server.stop());

test('a download of 1 GiB by a pausing reader takes little memory', {
  timeout: 120_000,
}, async (t) => {
  const source = await Target.start(behaviors.source(GIB, MIB));
  t.after(() => source.stop());
  const child = await Child.start('tunnel-process.mjs'); // whose memory is measured
  t.after(() => child.stop());
  // Warm, without a tunnel: what Node.js lets lie between two collections of garbage, some 35 MiB of
  // any socket's pieces, stays with the process.
  const echo = await Target.start(behaviors.echo());
  t.after(() => echo.stop());
  await child.ask('roundTrip', echo.port, 128 * MIB);
  await child.ask('dial', server.login, source.port);
  const peer = await source.next();
  const memory = async () => (await child.ask('resources')).memory;
  const before = await memory();
  let most = 0;
  const look = async () => (most = Math.max(most, (await memory()) - before));
  for (let total = 0; total < GIB; total += 32 * MIB) {
    await child.ask('read', total);
    await look();
    // Until nothing moves: all buffers in between are full.
    const sent = await settled(() => peer.accepted, 100);
    assert.ok(sent - total < 128 * MIB, `${sent / MIB} MiB were sent for one who has read ${total / MIB}`);
    await look();
  }
  assert.deepEqual(await child.ask('readToEnd'), { bytes: GIB, sha256: patternHash(GIB) });
  await look();
  t.diagnostic(`at most ${(most / MIB).toFixed(1)} MiB more`);
  assert.ok(most < 32 * MIB, `${most / MIB} MiB`);
  assert.deepEqual(await child.ask('ended', 1), [{ code: 'OK', clean: true }]);
});
