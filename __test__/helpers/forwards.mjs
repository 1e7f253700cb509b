// Tunnels whose local forwards are made by the test, with their targets and clients.

import { join } from 'node:path';

import { temporaryFolder } from './keys.mjs';
import { Target, connect, MIB, patternHash } from './peers.mjs';
import { assertIncludes, withoutForward } from './tunnels.mjs';

export const SIZE = MIB;
export const WHOLE = { bytes: SIZE, sha256: patternHash(SIZE), end: 'FIN' };

/** A tunnel without the constructor's forward, and functions that make targets and clients. */
export function makeForwarding(t, { login }, options) {
  const target = async (behavior, at) => {
    const it = await Target.start(behavior, at);
    t.after(() => it.stop());
    return it;
  };
  const client = async (place, how) => {
    const it = await connect(place, how);
    t.after(() => it.socket.destroy());
    return it;
  };
  return { ...withoutForward(t, login, options), target, client };
}

/** A folder for Unix sockets. Each call of `path()` returns another path in it, or that of a name. */
export function socketFolder() {
  const folder = temporaryFolder('forwards');
  let paths = 0;
  return {
    remove: folder.remove,
    path: (...names) => join(folder.path, ...(names.length > 0 ? names : [`${++paths}.sock`])),
  };
}

/** The options of a forward to a target. */
export const to = ({ port }) => ({ forwardHost: '127.0.0.1', forwardPort: port });

/** Sends data through a forward to an echo and back, and checks both ends. */
export async function roundTrip(client, target) {
  const remoteEnd = target.next();
  await client.send(SIZE);
  client.end();
  assertIncludes(await client.ended, WHOLE);
  assertIncludes(await (await remoteEnd).ended, WHOLE);
}
