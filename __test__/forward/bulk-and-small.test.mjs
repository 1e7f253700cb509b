// Small messages beside bulk data on one session: both arrive intact.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { MIB, behaviors } from '../helpers/peers.mjs';
import { Ssh2Server } from '../helpers/ssh2-server.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { openTunnel, roundTrip } from '../helpers/tunnels.mjs';

const sshd = await Sshd.start();
// It adjusts half a window at once, so bulk data is not delayed long.
const ssh2 = await Ssh2Server.start();
after(() => Promise.all([sshd.stop(), ssh2.stop()]));

for (const [name, server, size] of [
  ['OpenSSH', sshd, 64 * MIB],
  ['ssh2', ssh2, 16 * MIB],
]) {
  test(`${size / MIB} MiB both ways and small requests beside it arrive intact through ${name}`, async (t) => {
    const open = await openTunnel(t, server, behaviors.echo());
    const { socket } = await open.connect({ read: false });
    await open.target.next();
    let busy = true;
    const requests = (async () => {
      let answered = 0;
      for (; busy || answered < 100; answered++) {
        const request = Buffer.alloc(1024, answered);
        socket.write(request);
        let answer = Buffer.alloc(0);
        while (answer.length < request.length) {
          const piece = socket.read();
          if (piece === null) await once(socket, 'readable');
          else answer = Buffer.concat([answer, piece]);
        }
        assert.deepEqual(answer, request);
      }
      return answered;
    })();
    await roundTrip(open, size);
    busy = false;
    assert.ok((await requests) >= 100);
  });
}
