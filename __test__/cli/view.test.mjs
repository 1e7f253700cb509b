// The live view in a real terminal (tmux), over a real server and with real connections: its keys as the peers of connections
// see them, its sizes, and the terminal when it is over.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { after } from 'node:test';
import { setTimeout } from 'node:timers/promises';

import { test } from '../helpers/bounded.mjs';
import { Setting, echo, shellLine } from '../helpers/cli.mjs';
import { findProgram } from '../helpers/ensure-sshd.mjs';
import { temporaryFolder } from '../helpers/keys.mjs';
import { connect, exchange, refuses } from '../helpers/peers.mjs';
import { descendants, signal, until } from '../helpers/process.mjs';
import { Ssh2Server } from '../helpers/ssh2-server.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { Tmux, hasTmux } from '../helpers/tmux.mjs';

const server = await Sshd.start();
const setting = new Setting(server);
const folder = temporaryFolder('view');
after(() => Promise.all([server.stop(), setting.remove(), folder.remove()]));

const skip = hasTmux ? false : 'there is no tmux';

const columnsOf = (line) => Array.from(line).length;

/** A view with a local forward to an echo, and a function that opens a connection through it. */
async function open(t, { args = [], at = setting, ...options } = {}) {
  const target = await echo(t);
  const terminal = Tmux.command(
    t,
    ['-L', `0:127.0.0.1:${target.port}`, ...args, ...at.options(), '127.0.0.1'],
    options,
  );
  const [, port] = await terminal.shows(/-L \S*?:(\d+) ->/);
  const client = async () => {
    const peer = await connect(Number(port));
    t.after(() => peer.socket.destroy());
    await exchange(peer);
    return peer;
  };
  return { terminal, target, port, client };
}

/** The process of the command in a terminal. */
async function pidIn(terminal) {
  const shell = Number(await terminal.value('pane_pid'));
  return descendants(shell)[0];
}

test('x closes the selected connection by its Linger, and X resets it', { skip }, async (t) => {
  const { terminal, client } = await open(t);
  const [one, other, last] = [await client(), await client(), await client()];
  await terminal.type('ss');
  await terminal.shows(/Connections 3 by age/);
  await terminal.type('x');
  await terminal.shows(/Select a connection first/);
  await terminal.press('Down');
  await terminal.shows(/^> #1 /m);
  await terminal.type('x');
  assert.equal((await one.ended).end, 'FIN');
  one.end();
  await terminal.shows(/#1 -L .*closed/);
  await terminal.shows(/Connections 2/);
  assert.doesNotMatch((await terminal.lines()).join('\n'), /^> /m, 'no other connection has taken its place');
  await terminal.press('Down');
  await terminal.shows(/^> #2 /m);
  await terminal.type('X');
  assert.equal((await other.ended).end, 'ECONNRESET');
  await terminal.shows(/#2 -L .*reset by this command/);
  await exchange(last);
  last.end();
  assert.equal((await last.ended).end, 'FIN');
  await terminal.shows(/#3 -L .*complete/);
  await terminal.shows(/Ended 3 connections, 1 cut/);
});

test('fifty connections can be scrolled through, in terminals of 40, 80 and 200 columns', { skip }, async (t) => {
  const { terminal, client } = await open(t);
  for (let count = 0; count < 50; count++) await client();
  await terminal.type('ss');
  await terminal.shows(/Connections 50 by age/);
  await terminal.shows(/↓ \d+ more/);
  for (let at = 1; at <= 50; at++) {
    await terminal.press('Down');
    await terminal.shows(new RegExp(`^> #${at} `, 'm'));
  }
  await terminal.shows(/↑ \d+ more/);
  for (const [columns, rows] of [
    [40, 24],
    [200, 50],
    [40, 10],
    [80, 24],
  ]) {
    await terminal.resize(columns, rows);
    for (const [key, at] of [
      ['Home', 1],
      ['End', 50],
    ]) {
      await terminal.press(key);
      await terminal.shows(new RegExp(`^> #${at} `, 'm'));
    }
    const last = columns > 45 ? /^q quit .* l log$/m : /^q quit {2}\? help /m;
    await terminal.shows(last);
    const lines = await terminal.lines();
    assert.equal(lines.length, rows);
    assert.match(lines[rows - 1], last, 'the last line is that of the keys');
    for (const line of lines) assert.ok(columnsOf(line) < columns, line);
  }
  await terminal.press('PageUp');
  await terminal.shows(/^> #(?:3|4)\d /m);
});

test('filter, pause, help and log', { skip }, async (t) => {
  const { terminal, client, port } = await open(t, { args: ['-L', '0:127.0.0.1:1'] });
  for (let count = 0; count < 3; count++) await client();
  await terminal.shows(/Connections 3/);

  await terminal.type('/');
  await terminal.shows(/^\/▏ {2}Enter keeps it, Esc clears it$/m);
  await terminal.type('#2');
  await terminal.shows(/Connections 1 of 3 matching "#2"|Connections 1 of 3 by rate matching "#2"/);
  await terminal.press('Enter');
  await terminal.shows(/^q quit/m);
  await terminal.press('Escape');
  await terminal.shows(/Connections 3 by rate *age/);

  await terminal.type('p');
  await terminal.shows(/^sshtunnel .* paused {2,}● connected/m);
  await client();
  // Two pictures would have been drawn; there is no event for none.
  await setTimeout(500);
  await terminal.type('?');
  await terminal.shows(/^Keys$/m);
  await terminal.press('Escape');
  await terminal.shows(/Connections 3 by rate/);
  await terminal.type('p');
  await terminal.shows(/Connections 4 by rate/);

  const other = (await terminal.lines()).join('\n').match(/:(\d+) -> 127\.0\.0\.1:1 /)[1];
  assert.notEqual(other, port);
  assert.equal((await (await connect(Number(other))).ended).end, 'ECONNRESET');
  await terminal.shows(/channel 5: open failed: connect failed: Connection refused/);
  await terminal.shows(/Ended 1 connection, 1 failed, none cut/);
  await terminal.type('l');
  await terminal.shows(/^Messages 1$/m);
  await terminal.shows(/\d\d:\d\d:\d\d info channel 5: open failed/);
  await terminal.type('q');
  await terminal.shows(/Connections 4/);
});

test('a lost session is shown with the time to the next attempt, which counts down', { skip }, async (t) => {
  const ownServer = await Sshd.start();
  const own = new Setting(ownServer);
  t.after(() => Promise.all([ownServer.stop(), own.remove()]));
  const { terminal, client } = await open(t, { args: ['-o', 'Reconnect=yes'], at: own });
  const peer = await client();
  await ownServer.halt();
  assert.equal((await peer.ended).end, 'ECONNRESET');
  const [, attempt, seconds] = await terminal.shows(/○ reconnecting, attempt (\d+) in ([2-9]|\d\d) s/);
  await terminal.shows(new RegExp(`○ reconnecting, attempt ${attempt} in ${seconds - 1} s`));
  await terminal.shows(/Ended 1 connection, 1 cut/);
  await terminal.shows(/session disconnected/);
  await ownServer.restart();
  await terminal.shows(/● connected 00:00:/);
  await client();
});

/** Makes Node.js take the terminal for one without colors. */
const OTHER = 'unset TMUX; export TERM=other';

test('colors, and none with NO_COLOR or on a terminal without them', { skip }, async (t) => {
  const colored = (await open(t)).terminal;
  await colored.shows(/\x1b\[32m● connected/, { colors: true });
  const forced = await open(t, { before: OTHER, env: { FORCE_COLOR: '1' } });
  await forced.terminal.shows(/\x1b\[32m● connected/, { colors: true });
  for (const how of [{ env: { NO_COLOR: '1' } }, { before: OTHER }]) {
    const { terminal, client } = await open(t, how);
    await client();
    await terminal.shows(/^ {2}#1 /m);
    await terminal.press('Down');
    await terminal.shows(/^> #1 /m);
    assert.doesNotMatch((await terminal.lines({ colors: true })).join('\n'), /\x1b/);
  }
});

test('without a locale of UTF-8 the view is ASCII, and with TERM=dumb there is none', { skip }, async (t) => {
  const { terminal } = await open(t, { before: 'export LC_ALL=C' });
  await terminal.shows(/ {2}connected 00:/);
  assert.match((await terminal.lines()).join('\n'), /^[\n\x20-\x7e]*$/);
  const dumb = Tmux.command(t, ['-v', '-L', '0:127.0.0.1:1', ...setting.options(), '127.0.0.1'], {
    before: 'export TERM=dumb',
  });
  await dumb.shows(/1 of 1 forwardings are open/);
  await dumb.press('C-c');
  await dumb.shows(/no connections; up for 00:[^]*status 0/);
});

test('standard input that is no terminal leaves the view without keys', { skip }, async (t) => {
  const target = await echo(t);
  const args = ['-L', `0:127.0.0.1:${target.port}`, ...setting.options(), '127.0.0.1'];
  const terminal = Tmux.start(t, `trap : INT; ${shellLine(args)} < /dev/null; echo "status $?"`);
  await terminal.shows(/^Ctrl-C lets connections finish, twice resets them$/m);
  await terminal.press('C-c');
  await terminal.shows(/status 0/);
});

/** A module that makes the process fail on a signal that nothing else uses. */
const CRASH = `process.once('SIGURG', () => { throw new Error('on purpose') })`;

const twice = (key) => async (terminal) => {
  await key(terminal);
  await terminal.shows(/Waiting for 1 connection to finish: once more resets it\./);
  await key(terminal);
};

for (const [name, end, status] of [
  ['q', (terminal) => terminal.type('q'), 0],
  ['q twice', twice((terminal) => terminal.type('q')), 130],
  ['Ctrl-C', (terminal) => terminal.press('C-c'), 0],
  ['Ctrl-C twice', twice((terminal) => terminal.press('C-c')), 130],
  ['SIGTERM', async (terminal) => signal(await pidIn(terminal), 'SIGTERM'), 0],
  ['SIGHUP', async (terminal) => signal(await pidIn(terminal), 'SIGHUP'), 0],
  ['Ctrl-\\', (terminal) => terminal.press('C-\\'), 131],
  ['SIGALRM', async (terminal) => signal(await pidIn(terminal), 'SIGALRM'), 142],
  ['a crash', async (terminal) => signal(await pidIn(terminal), 'SIGURG'), 1],
]) {
  test(`the terminal is as before after ${name}`, { skip }, async (t) => {
    const [before, after] = ['before', 'after'].map((when) => folder.at(`${when} ${name}`.replace(/\W/g, '-')));
    const { terminal, client } = await open(t, {
      before: `ulimit -c 0; stty -a > ${before}`,
      after: `status=$?; stty -a > ${after}; echo "status $status"`,
      env: { NODE_OPTIONS: `--require ${folder.write(CRASH, `crash-${name.replace(/\W/g, '-')}.cjs`)}` },
    });
    // A connection that the first signal would wait for.
    const peer = await client();
    if (status === 0) peer.end();
    const counted = status === 0 ? /Ended 1 connection, none cut/ : /Connections 1/;
    await terminal.shows(counted);
    await end(terminal);
    await terminal.shows(new RegExp(`status ${status}`));
    assert.equal(readFileSync(after, 'utf8'), readFileSync(before, 'utf8'));
    assert.deepEqual([await terminal.value('alternate_on'), await terminal.value('cursor_flag')], ['0', '1']);
    const text = (await terminal.lines()).join('\n');
    if (name === 'a crash') assert.match(text, /on purpose/);
    else if (status === 130) assert.match(text, /1 connection, 1 cut(?:, [\d.]+ \w+ lost)?; up for 00:00:\d\d\n/);
    else if (status === 0) assert.match(text, /1 connection, none cut; up for 00:00:\d\d\nstatus 0/);
    if (status !== 0) assert.equal((await peer.ended).end, 'ECONNRESET');
  });
}

test('Ctrl-Z leaves the terminal to the shell, and nothing is drawn in the background', { skip }, async (t) => {
  const target = await echo(t);
  const terminal = Tmux.start(t, 'exec bash --norc --noprofile -i', { env: { PS1: 'ready> ' } });
  const enter = async (line) => {
    await terminal.type(line);
    await terminal.press('Enter');
  };
  await terminal.shows(/ready>/);
  const args = ['-L', `0:127.0.0.1:${target.port}`, ...setting.options(), '127.0.0.1'];
  folder.write(`exec ${shellLine(args)}`, 'command');
  await enter(`cd ${folder.path}; stty -a > shell; sh command`);
  await terminal.shows(/^q quit/m);
  await terminal.press('C-z');
  await terminal.shows(/Stopped[^]*ready>/);
  assert.equal(await terminal.value('alternate_on'), '0');
  await enter('stty -a | cmp - shell && echo "the same $((40 + 2))"');
  await terminal.shows(/the same 42/);

  await enter('fg');
  await terminal.shows(/^q quit/m);
  await terminal.type('?');
  await terminal.shows(/^Keys$/m);
  await terminal.press('C-z');
  await terminal.shows(/Stopped[^]*Stopped[^]*ready>/);
  await enter('bg');
  const pid = await pidIn(terminal);
  await until(() => !/^State:\s+T/m.test(readFileSync(`/proc/${pid}/status`, 'utf8')));
  // Two pictures would have been drawn; there is no event for none.
  await enter('sleep 0.5; echo "later $((40 + 3))"');
  await terminal.shows(/later 43/);
  assert.equal(await terminal.value('alternate_on'), '0');

  await enter('fg');
  await terminal.shows(/^Keys$/m);
  await terminal.type('q');
  await terminal.shows(/^q quit/m);
  await terminal.press('C-l');
  await terminal.type('q');
  await terminal.shows(/no connections; up for 00:[^]*ready>/);
});

test('a question while the view is up has the terminal, and the view returns with its keys', { skip }, async (t) => {
  const sessions = [];
  const asking = await Ssh2Server.start({
    authenticate: (context, session) => {
      if (context.method !== 'keyboard-interactive') return context.reject(['keyboard-interactive']);
      const prompts = [
        { prompt: 'Code: ', echo: false },
        { prompt: 'Name: ', echo: true },
      ];
      context.prompt(prompts, ([code, name]) => {
        sessions.push(session);
        if (code === '42' && name === 'me') context.accept();
        else context.reject(['keyboard-interactive']);
      });
    },
  });
  t.after(() => asking.stop());
  const [type, key] = asking.hostKeys[0].public.split(' ');
  const known = setting.file('known_hosts', `[127.0.0.1]:${asking.port} ${type} ${key}\n`);
  const options = [
    `UserKnownHostsFile=${known}`,
    'GlobalKnownHostsFile=none',
    'IdentityAgent=none',
    'IdentityFile=none',
    'UpdateHostKeys=no',
    'Reconnect=yes',
  ].flatMap((one) => ['-o', one]);
  const args = ['-F', 'none', '-L', '0:127.0.0.1:1', '-p', String(asking.port), ...options, 'user@127.0.0.1'];
  const terminal = Tmux.command(t, args, { after: 'echo "status $?"; stty -a' });
  const answer = async () => {
    // Without echo, the keys come one by one; with it, the terminal edits the line.
    for (const [question, text] of Object.entries({ 'Code:': '42', 'Name:': 'mx' })) {
      await terminal.shows(new RegExp(`${question}\\s*$`));
      assert.equal(await terminal.value('alternate_on'), '0');
      await terminal.type(text);
      if (text === 'mx') await terminal.press('BSpace', 'e');
      await terminal.press('Enter');
    }
  };
  await answer();
  await terminal.shows(/● connected/);
  sessions.at(-1).end();
  await answer();
  await terminal.shows(/● connected/);
  assert.equal(await terminal.value('alternate_on'), '1');
  await terminal.type('?');
  await terminal.shows(/^Keys$/m);
  await terminal.press('C-c');
  await terminal.shows(/status 0[^]* icanon [^]* echo /);
  assert.doesNotMatch((await terminal.lines()).join('\n'), /42/, 'the answer is not shown');
});

test('connections may finish when the terminal has gone', { skip }, async (t) => {
  const { terminal, client, port } = await open(t);
  const peer = await client();
  const pid = await pidIn(terminal);
  terminal.stop();
  await until(() => refuses(Number(port)));
  await exchange(peer, 100_000);
  peer.end();
  assert.equal((await peer.ended).end, 'FIN');
  await until(() => !existsSync(`/proc/${pid}`));
});

const python = findProgram('python3');

test('a terminal that takes nothing does not stop the command', {
  skip: skip || (!python && 'no Python'),
}, async (t) => {
  const { terminal, client, port } = await open(t);
  const peer = await client();
  const tty = await terminal.value('pane_tty');
  const flow = (how) =>
    execFileSync(python, [
      '-c',
      `import os, sys, termios; termios.tcflow(os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY), termios.${how})`,
      tty,
    ]);
  flow('TCOOFF');
  for (let count = 0; count < 20; count++) await client();
  const pid = await pidIn(terminal);
  signal(pid, 'SIGTERM');
  // The next one would be the same while this one is pending.
  await until(() => refuses(Number(port)));
  signal(pid, 'SIGTERM');
  assert.equal((await peer.ended).end, 'ECONNRESET');
  flow('TCOON');
  await terminal.shows(/status 1\d\d/);
});
