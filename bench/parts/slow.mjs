// Requests beside bulk transfers over links of limited bandwidth, which have queues.

import { join } from 'node:path';
import { userInfo } from 'node:os';
import { writeFileSync } from 'node:fs';

import { freePort } from '../../__test__/helpers/daemon.mjs';
import { findProgram } from '../../__test__/helpers/ensure-sshd.mjs';
import { temporaryFolder } from '../../__test__/helpers/keys.mjs';
import { ROOT } from '../../__test__/helpers/process.mjs';
import { SlowLink, noSlowLink } from '../../__test__/helpers/slow-link.mjs';
import { LOAD } from '../harness/load.mjs';
import { Program } from '../harness/programs.mjs';

/** Mbit/s of the links. */
export const RATES = [2, 5, 20, 100, 1000];
const DIRECTIONS = { up: { up: 1 }, down: { down: 1 }, both: { up: 1, down: 1 } };
const CONNECTIONS = [1, 4];
/** Milliseconds of round trip that a relay before the link of 20 Mbit/s adds. */
export const DELAYS = [20, 100];
const MANY = { askers: 64, idle: 1000 };
const SETTLE = 1.5; // s until what is measured is steady
const SECONDS = 3;

const PEERS = [
  { name: 'ours', label: '**sshtunnel-native**', command: [process.execPath, 'bin/sshtunnel.js', '--no-view'] },
  { name: 'ssh', label: 'OpenSSH `ssh -L`', command: [findProgram('ssh')] },
];

/** How cases are named, here and in the goals. */
export const nameOf = ({ rate, direction, connections = 1, delay = 0, many = false, alone = false }) =>
  [
    `${rate} Mbit/s ${direction} ${connections}`,
    ...(delay ? [`${delay} ms`] : []),
    ...(many ? ['64 ask'] : []),
    ...(alone ? ['alone'] : []),
  ].join(', ');

function list({ quick }) {
  const rates = quick ? [20] : RATES;
  const grid = rates.flatMap((rate) =>
    Object.keys(DIRECTIONS).flatMap((direction) =>
      CONNECTIONS.map((connections) => ({ rate, direction, connections })),
    ),
  );
  const ways = ['up', 'down'].map((direction) => ({ rate: 20, direction }));
  if (quick) return [...grid, ...ways.map((way) => ({ ...way, alone: true }))];
  return [
    ...grid,
    ...[5, 20, 100].flatMap((rate) => ways.map((way) => ({ ...way, rate, alone: true }))),
    ...DELAYS.flatMap((delay) => ways.map((way) => ({ ...way, delay }))),
    ...ways.map((way) => ({ ...way, many: true })),
  ];
}

/** A relay at the near end that delays everything; gives its port. */
async function delayed(link, delay) {
  const [command, ...args] = link.inside('near');
  const to = `${link.server.login.host}:${link.server.port}`;
  const program = new Program(command, [...args, LOAD, 'delay', '--to', to, '--ms', String(delay / 2)]);
  return { port: (await program.line()).port, program };
}

async function open({ command }, { rate, delay }) {
  const folder = temporaryFolder('slow');
  const link = await SlowLink.start(`${rate}mbit`);
  const programs = [];
  const stop = async () => {
    for (const program of programs) await program.stop();
    await link.stop();
    folder.remove();
  };
  try {
    let { host, port } = link.server.login;
    if (delay) {
      const relay = await delayed(link, delay);
      programs.push(relay.program);
      [host, port] = ['127.0.0.1', relay.port];
    }
    const known = join(folder.path, 'known_hosts');
    writeFileSync(known, `[${host}]:${port} ${link.server.hostKeys[0].publicKey}\n`);
    const settings = [
      'BatchMode=yes',
      'StrictHostKeyChecking=yes',
      `UserKnownHostsFile=${known}`,
      'GlobalKnownHostsFile=none',
      'UpdateHostKeys=no',
      `IdentityFile=${link.server.key.file}`,
      'IdentitiesOnly=yes',
      'IdentityAgent=none',
      'ExitOnForwardFailure=yes',
    ].flatMap((setting) => ['-o', setting]);
    const ports = {};
    for (const name of Object.keys(link.targets)) ports[name] = await freePort();
    const forwards = Object.entries(ports).flatMap(([name, at]) => ['-L', `${at}:127.0.0.1:${link.targets[name]}`]);
    const user = userInfo().username;
    const args = ['-F', 'none', '-N', ...settings, ...forwards, '-p', String(port), '-l', user, host];
    const [first, ...rest] = [...link.inside('near'), ...command, ...args];
    programs.push(new Program(first, rest, { cwd: ROOT }));
    return { link, ports, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

export const slow = {
  name: 'slow',
  title: 'Links of limited bandwidth',
  about: `A request of 200 bytes every 50 ms on one connection, while 1 or 4 other connections of the same session transfer as much as they can in each of the directions named. The link between two network namespaces is shaped by tbf in both directions, with a queue of 200 ms, as in a home router. In cases with a round trip, a relay before the link delays everything: the tunnel's own TCP connection ends there. \`64 ask\` has 64 connections that ask, and 1,000 that carry nothing; \`alone\` is the transfer without requests. The first request after ten seconds without any waits longer than these do: until then, nothing restrains the transfer.`,
  metrics: {
    p50: { label: 'p50 ms', compared: true },
    p99: { label: 'p99 ms', compared: true },
    rate: { label: 'bulk Mbit/s', compared: true },
    quiet: { label: 'p50 ms without bulk' },
  },
  charts: [
    {
      metric: 'p50',
      title: 'Milliseconds of a request beside a bulk transfer, median',
      only: /(5|20|100) Mbit\/s (up|down) 1$/,
    },
  ],
  cold: true,
  fresh: true, // data of a round that is still queued would delay the next one for seconds

  cases(context) {
    const reason = noSlowLink();
    if (reason) console.error(`slow: skipped: ${reason}`);
    return reason ? [] : list(context).map((one) => ({ ...one, name: nameOf(one), peers: PEERS }));
  },

  open,

  async measure({ link, ports }, { direction, connections = 1, alone, many }, { quick }) {
    const count = Object.entries(DIRECTIONS[direction]).map(([way, one]) => [way, one * connections]);
    const {
      beside,
      alone: quiet,
      up,
      down,
    } = await link.measure({
      ports,
      ...Object.fromEntries(count),
      ...(alone && { askers: 0 }),
      ...(many && MANY),
      settle: quick ? 0.5 : SETTLE,
      seconds: quick ? 1 : SECONDS,
    });
    const rate = [...up, ...down].reduce((sum, one) => sum + one, 0);
    return alone ? { rate } : { p50: beside.p50, p99: beside.p99, rate, quiet: quiet.p50 };
  },
};
