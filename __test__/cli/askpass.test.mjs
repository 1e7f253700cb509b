// SSH_ASKPASS: a program asks the user, as for ssh.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { Setting } from '../helpers/cli.mjs';
import { findProgram } from '../helpers/ensure-sshd.mjs';
import { makeKey } from '../helpers/keys.mjs';
import { run } from '../helpers/process.mjs';
import { Sshd } from '../helpers/sshd.mjs';

const server = await Sshd.start();
const setting = new Setting(server);
after(() => Promise.all([server.stop(), setting.remove()]));

const UNIX = { skip: process.platform === 'win32' && 'the program is a script of a shell' };
const { file: key, publicKey } = makeKey(setting.missing('locked'), { passphrase: 'secret' });
server.authorize(publicKey);

/** A program that writes its prompt to a file, and answers. */
function program(body) {
  const [path, log] = [setting.missing('askpass'), setting.missing('prompts')];
  writeFileSync(path, `#!/bin/sh\nprintf '%s|' "$1" >> ${log}\n${body}\n`, { mode: 0o700 });
  const prompts = () => {
    try {
      return readFileSync(log, 'utf8');
    } catch {
      return '';
    }
  };
  return { path, prompts };
}

const variables = { DISPLAY: '', WAYLAND_DISPLAY: '', SSH_ASKPASS_REQUIRE: '' };

/** Whether ssh and the command connect without a terminal, and what the program was asked. */
async function both(t, body, env, { args = [], ...options } = {}) {
  const found = [];
  for (const ours of [false, true]) {
    const { path, prompts } = program(body);
    const all = { ...process.env, ...variables, SSH_ASKPASS: path, ...env };
    const words = [...args, '-W', `127.0.0.1:${server.port}`];
    const config = setting.options({ key, ...options });
    const { stdout } = ours
      ? await setting.start(t, words, { key, ...options, env: all }).end()
      : await run(findProgram('ssh'), ['-N', ...words, ...config, '127.0.0.1'], { env: all, detached: true });
    found.push([stdout.startsWith('SSH-2.0'), prompts()]);
  }
  return found;
}

test('the passphrase comes from the program where ssh would ask it', UNIX, async (t) => {
  const asked = `Enter passphrase for key '${key}': |`;
  for (const [env, expected] of [
    [{ SSH_ASKPASS_REQUIRE: 'force' }, [true, asked]],
    [{ SSH_ASKPASS_REQUIRE: 'FORCE' }, [true, asked]],
    [{ DISPLAY: ':0' }, [true, asked]],
    [{ DISPLAY: ':0', SSH_ASKPASS_REQUIRE: 'prefer' }, [true, asked]],
    [{}, [false, '']],
    [{ SSH_ASKPASS_REQUIRE: 'prefer' }, [false, '']],
    [{ DISPLAY: ':0', SSH_ASKPASS_REQUIRE: 'never' }, [false, '']],
  ]) {
    const [ssh, ours] = await both(t, 'echo secret', env);
    assert.deepEqual(ours, expected, JSON.stringify(env));
    assert.deepEqual(ssh, expected, JSON.stringify(env));
  }
});

test('a wrong answer is asked again, and a program that fails gives none', UNIX, async (t) => {
  const force = { SSH_ASKPASS_REQUIRE: 'force' };
  const [ssh, ours] = await both(t, 'echo wrong', force);
  assert.deepEqual([ours[0], ssh[0]], [false, false]);
  assert.equal(ours[1].split('Enter passphrase').length - 1, 3);
  for (const body of ['exit 1', 'echo secret; exit 1', ':'])
    assert.equal((await both(t, body, force))[1][0], false, body);
  assert.deepEqual(
    (await both(t, "printf 'secret\\r\\nmore\\n'", force)).map(([connected]) => connected),
    [true, true],
  );
});

test('an unknown host key is accepted by the program', UNIX, async (t) => {
  const force = { SSH_ASKPASS_REQUIRE: 'force' };
  for (const [answer, expected] of [
    ['yes', true],
    ['no', false],
  ]) {
    const body = `case "$1" in *authenticity*) echo ${answer};; *) echo secret;; esac`;
    const outcomes = [];
    for (const index of [0, 1])
      outcomes.push((await both(t, body, force, { knownHosts: setting.missing('known_hosts') }))[index][0]);
    assert.deepEqual(outcomes, [expected, expected]);
  }
});
