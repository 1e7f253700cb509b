// dial() sockets: a tunnel and a target for them, and their events.

import { Target } from './peers.mjs';
import { withoutForward } from './tunnels.mjs';

/** A target, and a tunnel without the constructor's forward. After the test, the target is closed first. */
export async function openDial(t, { login }, behavior, options, path) {
  const target = await Target.start(behavior, path);
  t.after(() => target.stop());
  return { ...withoutForward(t, login, options), target };
}

/** The events of a socket's end in order, up to 'close'. */
export function ending(socket) {
  const events = [];
  socket.on('end', () => events.push('end')).on('error', (error) => events.push(error));
  return new Promise((resolve) => socket.on('close', () => resolve(events)));
}
