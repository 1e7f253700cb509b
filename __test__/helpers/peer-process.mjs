// Targets and servers in a process of their own: for tests that block their event loop or measure
// their memory. Started with `Child.start('peer-process.mjs')`.

import { Target, behaviours, impostors } from './peers.mjs';
import { answer } from './process.mjs';
import { Ssh2Server } from './ssh2-server.mjs';

const started = new Map();

function keep(server) {
  started.set(server.port, server);
  return server.port;
}

answer({
  async behaviour(name, ...args) {
    return keep(await Target.start(behaviours[name](...args)));
  },
  async impostor(name) {
    return keep(await Target.start(impostors[name]()));
  },
  async ssh2(options) {
    const server = await Ssh2Server.start(options);
    keep(server);
    return server.login;
  },
  /** What each connection of a target has read and sent. */
  reports(port) {
    return started.get(port).peers.map((peer) => ({ ...peer.report(), sent: peer.accepted }));
  },
  /** Waits for the end of a connection. */
  async ended(port, index) {
    return started.get(port).peers[index].ended;
  },
  forget: (port) => started.get(port).forget(),
  stop: (port) => started.get(port).stop(),
  /** How often somebody tried to log on at an SSH server. */
  attempts: (port) => started.get(port).attempts,
  sawAuthentication: (port) => started.get(port).sawAuthentication(),
  logged: (port, pattern) => started.get(port).logged(new RegExp(pattern)),
});
