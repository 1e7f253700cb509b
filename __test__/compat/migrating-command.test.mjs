// The tables of docs/migrating.md about command lines: each row is run, by both programs where both are there.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { delimiter, join } from 'node:path';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { freePort } from '../helpers/daemon.mjs';
import { ensurePackages } from '../helpers/ensure-sshd.mjs';
import { temporaryFolder } from '../helpers/keys.mjs';
import { Target, behaviors, connect, exchange, refuses, refusingPort } from '../helpers/peers.mjs';
import { ROOT, isAlive, run, signal, until } from '../helpers/process.mjs';
import { Sshd } from '../helpers/sshd.mjs';

const LINUX = { skip: process.platform !== 'linux' && 'processes are found in /proc' };
const [server, target, nobody] = await Promise.all([Sshd.start(), Target.start(behaviors.echo()), refusingPort()]);
const folder = temporaryFolder('migrating');
after(async () => {
  await Promise.all([server.stop(), target.stop(), nobody.stop()]);
  folder.remove();
});

mkdirSync(folder.at('bin'));
const program = join(ROOT, 'bin', 'sshtunnel.js');
writeFileSync(folder.at('bin/sshtunnel'), `#!/bin/sh\nexec '${process.execPath}' '${program}' "$@"\n`, { mode: 0o755 });

/** The rows of a table, by its heading: the commands in both columns. */
function rowsOf(heading) {
  const page = readFileSync(join(ROOT, 'docs', 'migrating.md'), 'utf8');
  const [section] = page.split(`\n## ${heading}\n`)[1].split('\n## ');
  const rows = [...section.matchAll(/^\| `(.*?)` \| `(.*?)` \| (.*?) ?\|$/gm)];
  assert.equal(rows.length, section.match(/^\|/gm).length - 2, 'each row has two commands');
  return rows.map(([, theirs, ours, what]) => ({ theirs, ours, what }));
}

/** Commands of the page in a folder of their own, with ports and servers of the test. */
class Shell {
  static async start(t) {
    const shell = new Shell();
    shell.cwd = mkdtempSync(folder.at('in-'));
    [shell.port, shell.other, shell.remote, shell.monitor] = await Promise.all([0, 1, 2, 3].map(() => freePort()));
    const known = join(shell.cwd, 'known_hosts');
    writeFileSync(known, `${server.address} ${server.hostKeys[0].publicKey}\n`);
    shell.config = join(shell.cwd, 'config');
    Object.assign(shell.env, { XDG_RUNTIME_DIR: shell.cwd, XDG_STATE_HOME: shell.cwd });
    const forwards = [
      `Host db\n  LocalForward ${shell.port} 127.0.0.1:${target.port}`,
      `Host web\n  RemoteForward ${shell.remote} 127.0.0.1:${target.port}`,
    ];
    const common = [
      'HostName 127.0.0.1',
      `Port ${server.port}`,
      `IdentityFile ${server.key.file}`,
      'IdentityAgent none',
      `UserKnownHostsFile ${known}`,
      'GlobalKnownHostsFile none',
      'UpdateHostKeys no',
      'BatchMode yes',
      'ServerAliveCountMax 1',
    ];
    writeFileSync(shell.config, `${forwards.join('\n')}\nHost *\n  ${common.join('\n  ')}\n`, { mode: 0o600 });
    t.after(() => shell.end());
    return shell;
  }

  env = {
    ...process.env,
    PATH: `${folder.at('bin')}${delimiter}${process.env.PATH}`,
    NODE_DISABLE_COMPILE_CACHE: '1',
    AUTOSSH_GATETIME: '0',
  };

  /** A command of the page with the names of the test. */
  fit(command) {
    const found = [
      [/\bsshtunnel (up|ls)\b/g, `sshtunnel $1 -F ${this.config}`],
      [/\b(ssh|autossh|sshtunnel)(?= -|$| (?:db|web)$)/g, `$1 -F ${this.config}`],
      [/\bme@bastion\b/g, `${userInfo().username}@bastion`],
      [/\b(db\.internal:5432|cache\.internal:6379|127\.0\.0\.1:8080)\b/g, `127.0.0.1:${target.port}`],
      [/\b15432\b/g, String(this.port)],
      [/\b16379\b/g, String(this.other)],
      [/\b19090\b/g, String(this.remote)],
      [/\b20000\b/g, String(this.monitor)],
      ['-p 2 ', `-p ${nobody.port} `],
      ['~/.ssh/id', server.key.file],
      // Nobody waits for ten seconds.
      ['AUTOSSH_POLL=10', 'AUTOSSH_POLL=2'],
      ['ServerAliveInterval=10', 'ServerAliveInterval=1'],
    ].reduce((text, [from, to]) => text.replaceAll(from, to), command);
    return found;
  }

  /** Runs a command to its end. */
  async run(command) {
    const { code, stdout, stderr } = await run('sh', ['-c', this.fit(command)], { cwd: this.cwd, env: this.env });
    return { code, stdout, stderr: stderr.replaceAll('\r', '') };
  }

  /** Starts a command that continues. */
  start(command, env = {}) {
    const child = spawn('sh', ['-c', `exec ${this.fit(command).replace(/^((?:\w+=\S+ )*)/, 'env $1')}`], {
      cwd: this.cwd,
      env: { ...this.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    const output = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'])
      child[name].setEncoding('utf8').on('data', (text) => (output[name] += text));
    const exit = new Promise((resolve) => child.once('exit', (code, name) => resolve(code ?? name)));
    return { child, output, exit };
  }

  /** The processes whose arguments contain the configuration of this shell. */
  processes() {
    return readdirSync('/proc')
      .filter((pid) => /^\d+$/.test(pid))
      .filter((pid) => {
        try {
          // The supervisor of tunnels has its folders in the environment only.
          return ['cmdline', 'environ'].some((name) => readFileSync(`/proc/${pid}/${name}`, 'utf8').includes(this.cwd));
        } catch {
          return false; // It has ended.
        }
      })
      .map(Number);
  }

  async end() {
    for (const name of ['SIGTERM', 'SIGKILL']) for (const pid of this.processes()) signal(pid, name);
    await until(() => this.processes().length === 0);
  }
}

/** Whether bytes come back through a port. */
async function answers(port) {
  try {
    const client = await connect(port);
    const ended = client.ended.then(() => false);
    const answered = exchange(client).then(() => true);
    return await Promise.race([answered, ended]).finally(() => client.socket.destroy());
  } catch {
    return false;
  }
}
const there = (port) => until(() => answers(port));
const gone = (port) => until(() => refuses(port));

/** Runs a check for the commands of both columns. */
function both(title, { theirs, ours, what }, check, missing) {
  test(`${title}: ${theirs}: ${what}`, LINUX, async (t) => {
    await t.test('here', async (own) => check(await Shell.start(own), ours, 'here', own));
    if (missing === undefined) return;
    await t.test('the other program', async (own) => {
      const reason = missing();
      if (reason) return own.skip(reason);
      await check(await Shell.start(own), theirs, 'there', own);
    });
  });
}

/** A check for the row whose command has this word; the first one that fits. */
function rows(heading, checks, missing) {
  for (const row of rowsOf(heading)) {
    const [, check] = Object.entries(checks).find(([word]) => row.theirs.includes(word)) ?? [];
    assert.ok(check !== undefined, row.theirs);
    both(heading, row, check, missing);
  }
}

const [{ theirs: sshMaster, ours: ourMaster }] = rowsOf('The command in place of ssh -f -N -M');
/** Starts what the requests of -O are for. */
async function master(shell, side) {
  const { code, stderr } = await shell.run(side === 'here' ? ourMaster : sshMaster);
  assert.deepEqual([code, stderr], [0, '']);
  await there(shell.port);
}
/** A request that is accepted. */
async function ask(shell, command, said) {
  const { code, stdout, stderr } = await shell.run(command);
  assert.deepEqual([code, stdout], [0, ''], stderr);
  assert.match(stderr, said);
}
const forward = (command) => command.replace('-O cancel', '-O forward');

rows(
  'The command in place of ssh -f -N -M',
  {
    '-M': (shell, _, side) => master(shell, side),
    check: async (shell, command, side) => {
      await master(shell, side);
      await ask(shell, command, /^Master running \(pid=\d+\)\n$/);
    },
    forward: async (shell, command, side) => {
      await master(shell, side);
      await ask(shell, command, /^$/);
      await there(shell.other);
    },
    cancel: async (shell, command, side) => {
      await master(shell, side);
      await ask(shell, forward(command), /^$/);
      await there(shell.other);
      const client = await connect(shell.other);
      await exchange(client);
      await ask(shell, command, /^$/);
      await gone(shell.other);
      await exchange(client);
      client.socket.destroy();
    },
    stop: async (shell, command, side) => {
      await master(shell, side);
      await ask(shell, command, /^Stop listening request sent\.\n$/);
      await until(() => !existsSync(join(shell.cwd, 'db.sock')));
      await (side === 'here' ? there(shell.port) : gone(shell.port));
    },
    exit: async (shell, command, side) => {
      await master(shell, side);
      await ask(shell, command, /^Exit request sent\.\n$/);
      await gone(shell.port);
    },
  },
  () => false,
);

/** A command that comes back after its session was ended. */
async function comesBack(shell, command) {
  const started = shell.start(command);
  await there(shell.port);
  server.killSessions();
  await there(shell.port);
  return started;
}

rows(
  'The command in place of autossh',
  {
    USR1: async (shell, command) => {
      const [start, restart] = command.split('; ');
      assert.equal((await shell.run(start)).code, 0);
      await there(shell.port);
      const before = server.sessions();
      assert.equal((await shell.run(restart)).code, 0);
      await until(() => before.every((pid) => !isAlive(pid)));
      await there(shell.port);
    },
    PIDFILE: async (shell, command, side) => {
      const [start, end] = command.split('; ');
      assert.equal((await shell.run(start)).code, 0);
      await there(shell.port);
      const before = shell.processes().length;
      assert.ok(before > 0);
      assert.equal((await shell.run(end)).code, 0, side);
      await gone(shell.port);
      await until(() => shell.processes().length === 0);
    },
    '-f': async (shell, command) => {
      assert.equal((await shell.run(command)).code, 0);
      await there(shell.port);
      server.killSessions();
      await there(shell.port);
    },
    POLL: async (shell, command, _, t) => {
      shell.start(command);
      await there(shell.port);
      server.freezeSessions();
      t.after(() => server.thawSessions());
      await there(shell.port);
    },
    '-p 2': async (shell, command, side) => {
      const { exit } = shell.start(command, { AUTOSSH_GATETIME: '30' });
      assert.equal(await exit, side === 'here' ? 255 : 1);
    },
    MAXSTART: async (shell, command, side) => {
      const { exit } = shell.start(command);
      await there(shell.port);
      server.killSessions();
      assert.equal(await exit, side === 'here' ? 255 : 0);
    },
    LOGFILE: async (shell, command) => {
      await comesBack(shell, command);
      const log = join(shell.cwd, 'db.log');
      await until(() => existsSync(log) && readFileSync(log, 'utf8').length > 0);
    },
    DEBUG: async (shell, command) => {
      const { output } = await comesBack(shell, command);
      await until(() => output.stderr.length > 0);
    },
    autossh: comesBack,
  },
  () => !ensurePackages(['autossh'], ['autossh']) && 'there is no autossh',
);

const reaches = async (shell, command) => {
  shell.start(command);
  await there(shell.port);
};
const reachesRemote = async (shell, command) => {
  shell.start(command);
  await there(shell.remote);
};

const bringUp = async (shell, command = 'sshtunnel up db') => {
  const { code, stderr } = await shell.run(command);
  assert.equal(code, 0, stderr);
};

rows('The command in place of mole', {
  'local --destination': async (shell, command) => {
    const { output } = shell.start(command);
    await until(() => /"localPort":\d+/.test(output.stdout));
    await there(Number(/"localPort":(\d+)/.exec(output.stdout)[1]));
  },
  16379: async (shell, command) => {
    await reaches(shell, command);
    await there(shell.other);
  },
  'start remote': reachesRemote,
  '--detach': async (shell, command) => {
    assert.equal((await shell.run(command)).code, 0);
    await there(shell.port);
  },
  '--verbose': async (shell, command) => {
    const { output } = shell.start(command);
    await there(shell.port);
    assert.match(output.stderr, /^debug1: /m);
  },
  '--connection-retries': comesBack,
  'start alias': async (shell, command) => {
    await bringUp(shell, command);
    await there(shell.port);
  },
  instances: async (shell, command) => {
    await bringUp(shell);
    const { code, stdout } = await shell.run(command);
    assert.equal(code, 0);
    assert.match(stdout, /^db +up /m);
  },
  logs: async (shell, command) => {
    await bringUp(shell);
    const { code, stdout } = await shell.run(command);
    assert.equal(code, 0);
    assert.notEqual(stdout, '');
  },
  stop: async (shell, command) => {
    await bringUp(shell);
    assert.equal((await shell.run(command)).code, 0);
    await gone(shell.port);
  },
  '--insecure': async (shell, command) => {
    writeFileSync(join(shell.cwd, 'known_hosts'), '');
    await reaches(shell, command);
    assert.match(readFileSync(join(shell.cwd, 'known_hosts'), 'utf8'), /ssh-ed25519/);
  },
  mole: reaches,
});
