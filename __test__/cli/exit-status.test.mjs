// The table of exit statuses in docs/command.md: one run for each row.

import assert from 'node:assert/strict';
import { chmodSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { Cli, Setting, echo } from '../helpers/cli.mjs';
import { freePort } from '../helpers/daemon.mjs';
import { Manager } from '../helpers/manager.mjs';
import { connect, refusingPort, silentPort } from '../helpers/peers.mjs';
import { until } from '../helpers/process.mjs';
import { Sshd } from '../helpers/sshd.mjs';

const server = await Sshd.start();
const setting = new Setting(server);
after(() => Promise.all([server.stop(), setting.remove()]));

const page = readFileSync(new URL('../../docs/command.md', import.meta.url), 'utf8');
const [, section] = /^## Exit status\n([^]*?)^## /m.exec(page);
const rows = [...section.matchAll(/^\| (.*?) \| (.*) \|$/gm)].slice(1).map(([, status, when]) => ({ status, when }));

/** Runs the command to its end; its status as a shell has it. */
const status = async (t, args) => ofShell((await setting.start(t, args).end()).status);
const ofShell = (end) => (typeof end === 'string' ? 128 + constants.signals[end] : end);

/** A command with a forward that listens. */
async function listening(t, args = []) {
  const target = await echo(t);
  const child = setting.start(t, ['--json', '-L', `0:127.0.0.1:${target.port}`, ...args]);
  const { localPort } = await child.report('listening');
  return { child, localPort };
}

/** A target that refuses. */
async function refused(t) {
  const { port, stop } = await refusingPort();
  t.after(stop);
  return `127.0.0.1:${port}`;
}

/** A control socket that a command listens on. */
async function controlled(t) {
  const path = setting.missing('socket');
  await listening(t, ['-M', '-S', path]);
  await until(async () => (await status(t, ['-S', path, '-O', 'check'])) === 0);
  return path;
}

/** By the beginning of the second column: the statuses of its runs. */
const RUNS = {
  'after a first signal': async (t) => {
    const { child } = await listening(t);
    child.signal('SIGTERM');
    return [await child.exit];
  },
  '`-W`: both directions': async (t) => {
    const target = await echo(t);
    return [await status(t, ['-W', `127.0.0.1:${target.port}`])];
  },
  '`-f`: everything listens': async (t) => {
    const target = await echo(t);
    const path = setting.missing('socket');
    const flags = ['-f', '-M', '-S', path, '-L', `${await freePort()}:127.0.0.1:${target.port}`];
    const end = await status(t, flags);
    await status(t, ['-S', path, '-O', 'exit']);
    return [end];
  },
  '`-O`: the request was accepted': async (t) => [await status(t, ['-S', await controlled(t), '-O', 'check'])],
  '`--help`, `-V`': async (t) => {
    const commands = [['--help'], ['--help', 'all'], ['-V'], ['-G', 'h'], ['-Q', 'cipher'], ['completion', 'bash']];
    const ends = await Promise.all(commands.map((args) => Cli.start(t, args).end()));
    return ends.map((end) => end.status);
  },
  'the command line or a file': async (t) => {
    const file = setting.file('config', 'Nonsense yes\n');
    return [await status(t, ['--nonsense']), (await Cli.start(t, ['-F', file, 'h']).end()).status];
  },
  'there is no session': async (t) => {
    const [host, port] = (await refused(t)).split(':');
    return [
      await status(t, ['-o', `Port=${port}`, '-o', `HostName=${host}`]),
      await status(t, ['-l', 'nobody-of-that-name']),
      (await setting.start(t, ['-o', 'BatchMode=yes'], { knownHosts: setting.missing('known_hosts') }).end()).status,
    ];
  },
  'the session disconnected': async (t) => {
    const { child } = await listening(t);
    server.killSessions();
    return [await child.exit];
  },
  'no forward could be opened': async (t) => {
    const target = await echo(t);
    const taken = ['-L', `127.0.0.1:${target.port}:a:1`];
    return [await status(t, taken), await status(t, [...taken, '-L', '0:a:1', '-o', 'ExitOnForwardFailure=yes'])];
  },
  '`-W`: the server did not': async (t) => [await status(t, ['-W', await refused(t)])],
  '`-O`: no command listens': async (t) => [
    await status(t, ['-S', setting.missing('socket'), '-O', 'check']),
    await status(t, ['-S', await controlled(t), '-O', 'cancel', '-L', '1:a:1']),
  ],
  '`run`: the program was not started': async (t) => [
    (await Cli.start(t, ['run', '-l', 'nobody', '-L', '0:a:1', ...setting.options(), '127.0.0.1', '--', 'true']).end())
      .status,
  ],
  '`up`, `restart`: all': async (t) => {
    const manager = Manager.create(t, server);
    await manager.profile('db', await echo(t));
    return [(await manager.up(t, 'db')).status, (await manager.run(t, 'restart', 'db')).status];
  },
  '`down`, `status`, `logs`: there': async (t) => {
    const manager = Manager.create(t, server);
    return Promise.all(['down', 'status', 'logs'].map(async (word) => (await manager.run(t, word, 'nobody')).status));
  },
  '`run`: the program cannot be run': async (t) => {
    const file = setting.file('program', '');
    chmodSync(file, 0o600);
    return Promise.all([file, setting.missing('program')].map((program) => runs(t, program)));
  },
  '`run`: it has ended': async (t) => {
    const end = await Promise.all([runs(t, 'sh', '-c', 'exit 7'), runs(t, 'sh', '-c', 'kill -TERM $$')]);
    assert.deepEqual(end, [7, 128 + constants.signals.SIGTERM]);
    return ['that of the program'];
  },
  '`status`: the tunnel is up': async (t) => {
    const manager = Manager.create(t, server);
    const target = await echo(t);
    await manager.profile('up-one', target);
    await manager.profile('down-one', target);
    await manager.profile('failed-one', target, 'User nobody-of-that-name');
    await manager.up(t, 'up-one', 'failed-one');
    const names = ['up-one', 'down-one', 'failed-one'];
    return Promise.all(names.map(async (name) => (await manager.run(t, 'status', '-F', manager.config, name)).status));
  },
  '`up`, `restart`: not all': async (t) => {
    const manager = Manager.create(t, server);
    await manager.profile('db', await echo(t), 'User nobody-of-that-name');
    return [(await manager.up(t, 'db')).status, (await manager.run(t, 'restart', 'db')).status];
  },
  'SIGHUP, SIGINT or SIGTERM': async (t) => {
    const ends = [];
    const silent = await silentPort();
    t.after(silent.stop);
    for (const name of ['SIGHUP', 'SIGINT', 'SIGTERM']) {
      const early = Cli.start(t, ['-v', '-p', String(silent.port), '-F', 'none', 'u@127.0.0.1']);
      await early.says('stderr', /Connecting to/);
      early.signal(name);
      const { child, localPort } = await listening(t);
      const client = await connect(localPort);
      t.after(() => client.socket.destroy());
      await child.report('connection');
      child.signal('SIGTERM');
      await child.report('closing');
      child.signal(name);
      ends.push(ofShell(await early.exit), ofShell(await child.exit));
    }
    return ends;
  },
};

/** The status of `run` with a program. */
const runs = async (t, ...program) =>
  (await Cli.start(t, ['run', '-L', '0:a:1', ...setting.options(), '127.0.0.1', '--', ...program]).end()).status;

test('each row of the exit statuses has a run', () => {
  const starts = Object.keys(RUNS);
  assert.deepEqual(
    rows.filter(({ when }) => starts.filter((start) => when.startsWith(start)).length !== 1),
    [],
  );
  assert.equal(rows.length, starts.length);
});

for (const row of rows) {
  test(`exit status ${row.status}: ${row.when}`, async (t) => {
    const [, runs] = Object.entries(RUNS).find(([start]) => row.when.startsWith(start));
    const ends = await runs(t);
    assert.deepEqual([...new Set(ends)].map(String).sort(), row.status.split(', ').sort());
  });
}
