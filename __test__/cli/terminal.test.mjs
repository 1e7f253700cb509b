// The command `sshtunnel` at a terminal: prompts, hidden answers and the live view.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after } from 'node:test';

import { SSHTunnel } from '../../index.js';
import { test } from '../helpers/bounded.mjs';
import { AtTerminal, Setting, hasTerminal } from '../helpers/cli.mjs';
import { keygen, makeKey } from '../helpers/keys.mjs';
import { Target, behaviors, connect, refuses } from '../helpers/peers.mjs';
import { Ssh2Server } from '../helpers/ssh2-server.mjs';
import { Sshd } from '../helpers/sshd.mjs';

const require = createRequire(import.meta.url);
const { age, amount, columns, count, cut, duration, pad, plain, wrap } = require('../../lib/cli/output/text.js');

const server = await Sshd.start();
const setting = new Setting(server);
after(() => Promise.all([server.stop(), setting.remove()]));

const skip = !hasTerminal
  ? 'there is no script(1)'
  : typeof SSHTunnel.prototype.forwardLocal === 'function'
    ? false
    : 'a tunnel has no forwardLocal()';

/** The command for this server; on success it keeps running. */
function start(t, args, { host = '127.0.0.1', ...how } = {}) {
  return AtTerminal.start(t, [...args, ...setting.options(how), host], how);
}

/** A server that accepts a password, and the options of the command for it. */
async function passwordServer(t, options) {
  const asking = await Ssh2Server.start(options);
  t.after(() => asking.stop());
  const [type, key] = asking.hostKeys[0].public.split(' ');
  const known = setting.file('known_hosts', `[127.0.0.1]:${asking.port} ${type} ${key}\n`);
  const settings = [
    `UserKnownHostsFile=${known}`,
    'GlobalKnownHostsFile=none',
    'IdentityAgent=none',
    'IdentityFile=none',
    'UpdateHostKeys=no',
  ];
  return {
    asking,
    args: [
      '-F',
      'none',
      '-N',
      '-v',
      '-p',
      String(asking.port),
      ...settings.flatMap((one) => ['-o', one]),
      'user@127.0.0.1',
    ],
  };
}

/** Ends the connected command and waits for its exit. */
async function interrupt(session, status = 0) {
  session.type('\x03');
  await session.sees(new RegExp(`status ${status}\r\n`));
}

test('a password is prompted without echo, and again when it is wrong', { skip }, async (t) => {
  const { args } = await passwordServer(t);
  const session = AtTerminal.start(t, ['--no-view', ...args], { after: 'echo "status $?"; stty -a' });
  await session.sees(/user@127\.0\.0\.1's password: /);
  session.type('wrong-one\r');
  await session.sees(/Permission denied, please try again\.\r\nuser@127\.0\.0\.1's password: /);
  session.type('rightx\x7f\r');
  await session.sees(/Authenticated to 127\.0\.0\.1/);
  await interrupt(session);
  await session.sees(/ icanon .* echo /s);
  assert.doesNotMatch(session.stdout, /wrong-one|rightx|right\r/);
});

test('NumberOfPasswordPrompts limits prompts, BatchMode disables them, and Ctrl-C ends them', { skip }, async (t) => {
  const { args, asking } = await passwordServer(t);
  const session = AtTerminal.start(t, ['-o', 'NumberOfPasswordPrompts=2', ...args]);
  for (let turn = 0; turn < 2; turn++) {
    await session.sees(/'s password: /);
    session.type('no\r');
  }
  await session.sees(
    /user@127\.0\.0\.1: Permission denied \(publickey,password\)\.\r\n(?:hint: [^\r]*\r\n)?status 255/,
  );
  assert.equal(asking.attempts, 2, 'both passwords, and no method that this server does not list');
  const batch = AtTerminal.start(t, ['-o', 'BatchMode=yes', ...args]);
  await batch.sees(/Permission denied \(publickey,password\)\.\r\n(?:hint: [^\r]*\r\n)?status 255/);
  assert.doesNotMatch(batch.stdout, /password: /);
  const given = AtTerminal.start(t, args, { after: 'echo "status $?"; stty -a' });
  await given.sees(/'s password: /);
  given.type('\x03');
  await given.sees(/ icanon .* echo /s);
  assert.match(given.stdout, /status 130/);
});

test('the password prompt of a jump host names it, and its password goes to it alone', { skip }, async (t) => {
  const { asking } = await passwordServer(t);
  const [type, key] = asking.hostKeys[0].public.split(' ');
  const known = setting.file(
    'known_hosts',
    `${readFileSync(setting.knownHosts, 'utf8')}[127.0.0.1]:${asking.port} ${type} ${key}\n`,
  );
  const file = setting.file(
    'config',
    `
    Host work
      HostName 127.0.0.1
      Port ${server.port}
      IdentityFile ${setting.key}
    Host jump
      HostName 127.0.0.1
      Port ${asking.port}
      User user
      IdentityFile none
    Host *
      UserKnownHostsFile ${known}
      GlobalKnownHostsFile none
      IdentityAgent none
  `,
  );
  const session = AtTerminal.start(t, ['--no-view', '-Nv', '-F', file, '-J', 'jump', 'work']);
  for (const password of ['wrong', 'right']) {
    await session.sees(/user@127\.0\.0\.1's password: /);
    session.type(`${password}\r`);
  }
  await session.sees(/Authenticated/);
  await interrupt(session);
});

test('keyboard-interactive prompts are shown and answered', { skip }, async (t) => {
  const rounds = [];
  const { args } = await passwordServer(t, {
    authenticate: (context) => {
      if (context.method !== 'keyboard-interactive') return context.reject(['keyboard-interactive']);
      const prompts = [
        { prompt: 'Color\x1b[31m: ', echo: true },
        { prompt: 'Code: ', echo: false },
      ];
      context.prompt(prompts, 'Two questions', 'Think.', (answers) => {
        rounds.push(answers);
        if (answers[1] === '42') context.accept();
        else context.reject(['keyboard-interactive']);
      });
    },
  });
  const session = AtTerminal.start(t, ['--no-view', ...args]);
  for (const code of ['41', '42']) {
    await session.sees(/Two questions\r\nThink\.\r\n\(user@127\.0\.0\.1\) Color[^\x1b]*: /);
    session.type('green\r');
    await session.sees(/Code: /);
    session.type(`${code}\r`);
  }
  await session.sees(/Authenticated/);
  await interrupt(session);
  assert.deepEqual(rounds, [
    ['green', '41'],
    ['green', '42'],
  ]);
  // The debug lines have numbers of ports.
  assert.doesNotMatch(session.stdout.replace(/^debug1:.*$/gm, ''), /4[12]\r/);
});

test('the passphrase of a key is prompted', { skip }, async (t) => {
  const key = makeKey(setting.missing('id_ed25519'), { passphrase: 'open sesame' });
  const other = makeKey(setting.missing('other'), { passphrase: 'never told' });
  server.authorize(key.publicKey);
  const session = start(t, ['--no-view', '-N', '-v', '-i', other.file], { key: key.file });
  await session.sees(/Enter passphrase for key '\S+other': /);
  session.type('\r');
  await session.sees(/Enter passphrase for key '\S+id_ed25519': /);
  session.type('wrong\r');
  await session.sees(/Enter passphrase for key '\S+id_ed25519': /);
  session.type('open sesame\r');
  await session.sees(/Authenticated/);
  await interrupt(session);
  assert.doesNotMatch(session.stdout, /sesame|wrong\r/);
});

test('an unknown host prompts for yes, no or its fingerprint', { skip }, async (t) => {
  const fingerprint = keygen('-l', '-f', `${server.hostKeys[0].file}.pub`).split(' ')[1];
  const question = new RegExp(
    `The authenticity of host '\\[127\\.0\\.0\\.1\\]:${server.port}' can't be established\\.\r\nED25519 key fingerprint is ${fingerprint.replace(/[+/]/g, '\\$&')}\\.\r\nAre you sure you want to continue connecting \\(yes/no/\\[fingerprint\\]\\)\\? `,
  );
  for (const answer of ['yes', fingerprint]) {
    const knownHosts = setting.missing('known_hosts');
    const session = start(t, ['--no-view', '-N', '-v'], { knownHosts });
    await session.sees(question);
    session.type('perhaps\r');
    await session.sees(/Please type 'yes', 'no' or the fingerprint: /);
    session.type(`${answer}\r`);
    await session.sees(/Warning: Permanently added '\[127\.0\.0\.1\]:\d+' \(ED25519\) to the list of known hosts\./);
    await session.sees(/Authenticated/);
    await interrupt(session);
    assert.ok((await server.ask(knownHosts)).trusts);
  }
  const knownHosts = setting.missing('known_hosts');
  const session = start(t, ['-N'], { knownHosts });
  await session.sees(question);
  session.type('no\r');
  await session.sees(/Host key verification failed\.\r\nstatus 255/);
  assert.throws(() => readFileSync(knownHosts), { code: 'ENOENT' });
});

test('ConnectTimeout does not run while a prompt is open', { skip }, async (t) => {
  const knownHosts = setting.missing('known_hosts');
  const session = start(t, ['--no-view', '-N', '-v', '-o', 'ConnectTimeout=1'], { knownHosts });
  await session.sees(/\[fingerprint\]\)\? /);
  // There is no event for "nothing happens".
  await new Promise((resolve) => setTimeout(resolve, 1500));
  session.type('yes\r');
  await session.sees(/Authenticated/);
  await interrupt(session);
});

test('the live view shows connections and their ends, and restores the screen', { skip }, async (t) => {
  const target = await Target.start(behaviors.echo());
  t.after(() => target.stop());
  const session = start(t, ['-L', `0:127.0.0.1:${target.port}`], {
    rows: 20,
    columns: 90,
    after: 'echo "status $?"; stty -a',
  });
  await session.sees(/\x1b\[\?1049h\x1b\[\?25l/);
  const [, port] = await session.sees(new RegExp(`-L \\S*:(\\d+) -> 127\\.0\\.0\\.1:${target.port}`));
  const one = await connect(Number(port));
  const other = await connect(Number(port));
  t.after(() => [one, other].map(({ socket }) => socket.destroy()));
  await one.send(100_000);
  await one.received(100_000);
  await session.sees(/#1 \S*:\d+ -> 127\.0\.0\.1:\d+ +\d+s +97\.7 KiB +97\.7 KiB/);
  one.end();
  await session.sees(/#1 -L [^\x1b]*: complete +195 KiB +-/);
  session.type('\x03');
  await session.sees(/connections may finish now; q or Ctrl-C resets them/);
  session.type('\x03');
  await session.sees(/\x1b\[\?25h\x1b\[\?1049l/);
  await session.sees(/status 130\r\n.* icanon .* echo /s);
  assert.equal((await other.ended).end, 'ECONNRESET');
  assert.ok(await refuses(Number(port)));
});

test('Ctrl-C in the live view drains connections', { skip }, async (t) => {
  const target = await Target.start(behaviors.echo());
  t.after(() => target.stop());
  const session = start(t, ['-L', `0:127.0.0.1:${target.port}`]);
  const [, port] = await session.sees(/-L :(\d+) -> /);
  const peer = await connect(Number(port));
  await session.sees(/#1 :/);
  session.type('\x03');
  await session.sees(/connections may finish now/);
  await peer.send(1000);
  peer.end();
  assert.equal((await peer.ended).end, 'FIN');
  await session.sees(/\x1b\[\?25h\x1b\[\?1049l/);
  await session.sees(/status 0\r\n/);
});

test('a process in the background shows no live view', { skip }, async (t) => {
  const session = start(t, ['-v', '-L', '0:127.0.0.1:1'], { behind: true });
  await session.sees(/1 of 1 forwardings are open/);
  session.type('\x03');
  await session.sees(/status 0\r\n/);
  assert.doesNotMatch(session.stdout, /\x1b/);
});

test('the live view prints errors after it has closed', { skip }, async (t) => {
  const ownServer = await Sshd.start();
  const own = new Setting(ownServer);
  t.after(() => Promise.all([ownServer.stop(), own.remove()]));
  const session = AtTerminal.start(t, ['-L', '0:127.0.0.1:1', ...own.options(), '127.0.0.1']);
  await session.sees(/\x1b\[\?1049h/);
  await session.sees(/connected/);
  ownServer.killSessions();
  await session.sees(/\x1b\[\?1049l/);
  await session.sees(/Connection to 127\.0\.0\.1 [^\r]*\r\nno connections; up for 00:[\d:]+\r\nstatus 255/);
});

test('remote texts lose control characters and are cut to the width', () => {
  assert.equal(plain('a\x1b[2J\tb\u202ec\u2028d\x9be'), 'a?[2J b?c?d?e');
  assert.deepEqual(['', 'abc', '世界', 'e\u0301', '😀'].map(columns), [0, 3, 4, 1, 2]);
  assert.deepEqual([cut('世界', 3), cut('abc', 2), cut('e\u0301x', 1)], ['世', 'ab', 'e\u0301']);
  assert.deepEqual([pad('世', 4), pad('世界', 3), pad('x', 3, { right: true })], ['世  ', '世 ', '  x']);
  assert.deepEqual([0, 999, 1000, 1024, 100_000, 1e6, 10 * 2 ** 20, 5 * 2 ** 40].map(amount), [
    '0 B',
    '999 B',
    '1.0 KiB',
    '1.0 KiB',
    '97.7 KiB',
    '977 KiB',
    '10.0 MiB',
    '5.0 TiB',
  ]);
  assert.deepEqual([0, 61_000, 360_000_000].map(duration), ['00:00:00', '00:01:01', '100:00:00']);
  assert.deepEqual([-1, 59_999, 60_000, 3_600_000, 86_400_000, 1e11].map(age), [
    '0s',
    '59s',
    '1m',
    '1h',
    '1d',
    '1157d',
  ]);
  assert.deepEqual(
    [0, 1, 2].map((number) => count(number, 'byte')),
    ['0 bytes', '1 byte', '2 bytes'],
  );
});

test('texts are wrapped at blanks, and in words that are too long', () => {
  assert.deepEqual(wrap('one two three', 7), ['one two', 'three']);
  assert.deepEqual(wrap('one two three', 8), ['one two', 'three']);
  assert.deepEqual(wrap('abcdefgh ij', 4), ['abcd', 'efgh', 'ij']);
  assert.deepEqual(wrap('', 4), ['']);
  assert.deepEqual(wrap('世界 世', 4), ['世界', '世']);
  assert.deepEqual(wrap('世界', 1), ['世', '界'], 'a character that is too wide does not stop it');
});
