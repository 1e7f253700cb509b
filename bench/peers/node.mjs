// Peers that are Node programs, each in a process of its own: our addon as users run it, and two
// packages of npm.

import { Child } from '../../__test__/helpers/process.mjs';

/** Starts the program of a peer and has it open a tunnel. */
async function open(peer, context, { cipher, target, via, sessions }) {
  const server = await context.server(peer.name, peer.keys);
  const child = await Child.start(new URL(peer.program, import.meta.url).href);
  const stop = () => child.stop();
  const options = {
    ...server.login, port: via ?? server.port, keyFile: server.key.file, kex: peer.kex ?? context.kex, cipher,
    sessions, target: context.targets[target],
  };
  try {
    const port = await child.ask('open', options);
    const ask = (...question) => child.ask(...question);
    return { port, options, pids: () => [child.pid], serverPids: () => server.sessions(), ask, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

const nodePeer = (peer) => ({ ...peer, open: (context, options) => open(peer, context, options) });

export const ours = nodePeer({
  name: 'ours',
  label: '**sshtunnel-native**',
  program: './ours-process.mjs',
  weight: 1,
});

export const tunnelSSH = nodePeer({
  name: 'tunnel-ssh',
  label: 'tunnel-ssh',
  program: './tunnel-ssh-process.mjs',
  weight: 0.25,
  losesEnds: true,
});

export const devTunnels = nodePeer({
  name: 'dev-tunnels',
  label: 'dev-tunnels-ssh-tcp',
  program: './dev-tunnels-process.mjs',
  // It knows neither Ed25519 nor X25519.
  keys: 'ecdsa',
  kex: 'ecdh-sha2-nistp256',
  weight: 0.125,
  losesEnds: true,
});
