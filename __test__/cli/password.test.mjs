// Passwords and questions of a server, beside ssh: as many on one connection, and what sshd says of them.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { Cli, Setting } from '../helpers/cli.mjs';
import { findProgram } from '../helpers/ensure-sshd.mjs';
import { makeKey } from '../helpers/keys.mjs';
import { hasPam, makePamService } from '../helpers/pam.mjs';
import { run } from '../helpers/process.mjs';
import { Sshd } from '../helpers/sshd.mjs';

const RIGHT = 'open sesame';
const skip = hasPam() ? false : 'only root can make a service of PAM';

let server;
let setting;
/** What a client that is connected reads. */
const HELLO = 'hello';
const target = net.createServer((socket) => socket.end(HELLO));
target.listen(0, '127.0.0.1');
await once(target, 'listening');
after(() => target.close());
const toTarget = ['-W', `127.0.0.1:${target.address().port}`];
if (!skip) {
  const { program, remove } = makePamService(RIGHT);
  const config = ['UsePAM yes', 'KbdInteractiveAuthentication yes', 'PasswordAuthentication yes'];
  server = await Sshd.start({ program, config });
  setting = new Setting(server);
  after(async () => {
    await server.stop();
    setting.remove();
    remove();
  });
}

/** A program that answers in turn, and writes each prompt to a file. */
function askpass(answers) {
  const [file, prompts] = [setting.missing('askpass'), setting.missing('prompts')];
  const cases = answers.map(
    (answer, index) => `${index + 1}) ${answer === undefined ? 'exit 1' : `echo '${answer}'`} ;;`,
  );
  const script = `#!/bin/sh\necho "$1" >> ${prompts}\ncase $(wc -l < ${prompts}) in\n${cases.join('\n')}\nesac\n`;
  writeFileSync(file, script, { mode: 0o700 });
  const read = () => (existsSync(prompts) ? readFileSync(prompts, 'utf8').split('\n').filter(Boolean) : []);
  return { env: { ...process.env, SSH_ASKPASS: file, SSH_ASKPASS_REQUIRE: 'force', DISPLAY: ':0' }, read };
}

/** What a client asks, says, and does at the server. */
async function outcome(connect, answers, connections = 1) {
  const { env, read } = askpass(answers);
  const since = server.log().length;
  const { stdout, stderr } = await connect(env);
  // sshd has written everything about a connection when it writes that the connection is over.
  const ends = `(?:[^]*(?:Connection closed by|Disconnected from)){${connections}}`;
  await server.logged(new RegExp(`^[^]{${since}}${ends}`));
  const log = server.log().slice(since);
  const times = (pattern) => log.match(pattern)?.length ?? 0;
  return {
    connects: stdout === HELLO,
    prompts: read(),
    denials: stderr.match(/Permission denied, please try again\./g)?.length ?? 0,
    connections: times(/Connection from/g),
    failures: times(/Failed (?:password|keyboard-interactive\/pam) for/g),
    accepted: times(/Accepted (?:password|keyboard-interactive\/pam) for/g),
  };
}

/** The outcome for ssh and for the command, which has to be the same. */
async function both(t, answers, ...settings) {
  const words = [...settings, 'PubkeyAuthentication=no'].flatMap((one) => ['-o', one]);
  const args = [...words, ...toTarget, ...setting.options(), '127.0.0.1'];
  const theirs = await outcome((env) => run(findProgram('ssh'), args, { env }), answers);
  const ours = await outcome((env) => Cli.start(t, args, { env }).end(), answers);
  assert.deepEqual(ours, theirs, settings.join(' '));
  return ours;
}

const KINDS = { password: 'KbdInteractiveAuthentication=no', 'keyboard-interactive': 'PasswordAuthentication=no' };
for (const [kind, only] of Object.entries(KINDS)) {
  test(`${kind}: the third answer authenticates on the same connection`, { skip }, async (t) => {
    const { prompts, ...rest } = await both(t, ['wrong', 'no', RIGHT], only);
    assert.equal(prompts.length, 3);
    const denials = kind === 'password' ? 2 : 0;
    assert.deepEqual(rest, { connects: true, denials, connections: 1, failures: 2, accepted: 1 });
  });

  test(`${kind}: NumberOfPasswordPrompts refused answers are one connection`, { skip }, async (t) => {
    for (const [settings, count] of [
      [[], 3],
      [['NumberOfPasswordPrompts=1'], 1],
      [['NumberOfPasswordPrompts=2'], 2],
    ]) {
      const found = await both(t, ['a', 'b', 'c', RIGHT], only, ...settings);
      assert.deepEqual([found.connects, found.prompts.length, found.connections], [false, count, 1]);
    }
  });
}

test('after the answers to questions, passwords are asked for, each as often', { skip }, async (t) => {
  const { prompts, ...rest } = await both(t, ['a', 'b', 'c', 'd', RIGHT]);
  assert.deepEqual(
    prompts.map((prompt) => prompt.includes('password: ')),
    [false, false, false, true, true],
  );
  assert.deepEqual(rest, { connects: true, denials: 1, connections: 1, failures: 4, accepted: 1 });
});

test('a passphrase is asked for first, on a connection before', { skip }, async (t) => {
  const locked = makeKey(setting.missing('locked'), { passphrase: 'secret' });
  const args = [...toTarget, ...setting.options({ key: locked.file }), '127.0.0.1'];
  const start = (env) => Cli.start(t, args, { env }).end();
  const { prompts, ...rest } = await outcome(start, ['', 'a', RIGHT], 2);
  assert.deepEqual(
    prompts.map((prompt) => /passphrase|Password/.exec(prompt)?.[0]),
    ['passphrase', 'Password', 'Password'],
  );
  assert.deepEqual([rest.connects, rest.connections, rest.failures], [true, 2, 1]);
});

test('a password is asked for once, however often the session reconnects', { skip }, async (t) => {
  const { env, read } = askpass([RIGHT]);
  const settings = [KINDS.password, 'PubkeyAuthentication=no', 'Reconnect=yes'].flatMap((one) => ['-o', one]);
  const cli = Cli.start(t, ['--json', ...settings, '-N', ...setting.options(), '127.0.0.1'], { env });
  await cli.report('ready');
  server.killSessions();
  await cli.report('ready');
  assert.equal(read().length, 1);
  cli.signal('SIGTERM');
  assert.equal(await cli.exit, 0);
});
