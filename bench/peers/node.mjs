// Peers that are Node programs, each in a process of its own: our addon as users run it, and two
// packages of npm.

import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout } from 'node:timers/promises';

import { Child } from '../../__test__/helpers/process.mjs';
import { NODE_ENVIRONMENT } from '../harness/command.mjs';
import { Program } from '../harness/programs.mjs';
import { stdioArguments } from './ssh.mjs';

const LOGON = 200; // ms in which a further session logs on; nothing tells when

/** Starts the program of a peer and has it open a tunnel. */
async function open(peer, context, { cipher, target, via, sessions }) {
  const server = await context.server(peer.name, peer.keys);
  const child = await Child.start(new URL(peer.program, import.meta.url).href);
  const stop = () => child.stop();
  const options = {
    ...server.login,
    port: via ?? server.port,
    keyFile: server.key.file,
    kex: peer.kex ?? context.kex,
    cipher,
    sessions,
    target: context.targets[target],
  };
  try {
    const port = await child.ask('open', options);
    const held = sessions > 1 ? await spread(port, server, sessions) : [];
    const ask = (...question) => child.ask(...question);
    return { port, options, pids: () => [child.pid], serverPids: () => server.sessions(), ask, stop, held };
  } catch (error) {
    await stop();
    throw error;
  }
}

/**
 * Has a tunnel begin all its sessions, which it does as connections come one after the other. They
 * stay open, one or two on each session, and those that are measured go where the least is to do.
 */
async function spread(port, server, sessions) {
  const held = [];
  while (server.sessions().length < sessions && held.length < 4 * sessions) {
    const socket = connect({ port, host: '127.0.0.1' });
    await once(socket, 'connect');
    // They end with the tunnel.
    socket.on('error', () => {});
    held.push(socket);
    await setTimeout(LOGON);
  }
  return held;
}

const nodePeer = (peer) => ({ ...peer, open: (context, options) => open(peer, context, options) });

export const ours = nodePeer({
  name: 'ours',
  label: '**sshtunnel-native**',
  program: './ours-process.mjs',
  weight: 1,

  /** `sshtunnel -W`, as a process of its own. */
  async command(context, options) {
    const server = await context.server(this.name);
    const { file, env } = await context.command();
    return new Program(process.execPath, [file, ...stdioArguments(context, server, options)], { env });
  },
});

/** Node.js without a program: what the command cannot be faster than. */
export const alone = {
  name: 'node',
  label: 'Node.js alone',
  weight: 1,
  command: async () => new Program(process.execPath, ['--eval', '0'], { env: NODE_ENVIRONMENT }),
};

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
