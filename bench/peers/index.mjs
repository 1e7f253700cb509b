// Whom the tunnel is compared with. A peer has a name, a label, a `weight` (how much it is given to
// do, 1 for the fast ones), `losesEnds` if it does not pass on ends of streams, and `open`, which
// gives a tunnel:
//
// - `port`: leads to a target of bench/load
// - `pids()`: the processes that are the tunnel; `serverPids()`: those that serve its session
// - `ask(...)`: for peers that are Node programs, a question to that program
// - `stop()`: ends it

import { devTunnels, ours, tunnelSSH } from './node.mjs';
import { floor } from './floor.mjs';
import { loopback } from './loopback.mjs';
import { ssh } from './ssh.mjs';

export const PEERS = [ours, ssh, tunnelSSH, devTunnels, floor, loopback];

/** Those that come from npm, into bench/node_modules. */
export const FROM_NPM = [tunnelSSH.name, devTunnels.name];
