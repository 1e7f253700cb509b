// Some of OpenSSH's own regress scripts with the command as their ssh; `npm run regress` runs all.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after } from 'node:test';

import { parseCall } from '../../scripts/regress/call.mjs';
import { regressScripts } from '../../scripts/regress/package.mjs';
import { judge } from '../../scripts/regress/results.mjs';
import { failures, runScript } from '../../scripts/regress/run.mjs';
import { test } from '../helpers/bounded.mjs';
import { temporaryFolder } from '../helpers/keys.mjs';

const root = temporaryFolder('regress');
after(root.remove);

const { folder: scripts, missing } = regressScripts();

for (const name of ['connect', 'connect-uri', 'transfer']) {
  test(`OpenSSH's ${name}.sh passes with the command as its ssh`, { skip: missing, timeout: 120_000 }, async () => {
    const result = await runScript(join(scripts, `${name}.sh`), { scripts, folder: root.at(name) });
    const { passed, words, how, calls } = judge(name, result);
    assert.ok(passed, `${words}\n${result.output}`);
    assert.equal(how, 'with the shim');
    assert.ok(calls > 1);
    assert.deepEqual(result.left, []);
  });
}

test('a call of ssh in a regress script fails as the command does, and gives the status of the remote command', {
  skip: missing,
  timeout: 120_000,
}, async () => {
  const script = root.at('own.sh');
  writeFileSync(
    script,
    `tid="own"
start_sshd
trace "status"
\${SSH} -F $OBJ/ssh_config somehost 'exit 3'
test $? -eq 3 || fail "status $?"
trace "nobody"
\${SSH} -F $OBJ/ssh_config -l nobody-there somehost true
fail "status $?"
stop_sshd
echo "DisableForwarding yes" >> $OBJ/sshd_config
start_sshd
trace "forbidden"
\${SSH} -F $OBJ/ssh_config somehost true
fail "status $?"
`,
  );
  const result = await runScript(script, { scripts, folder: root.at('own') });
  assert.deepEqual(
    result.failures.map(({ context, fail }) => `${context}: ${fail}`),
    ['nobody: status 255', 'forbidden: status 255'],
  );
  assert.equal(judge('own', result).passed, false);
  assert.match(readFileSync(root.at('own/failed-ssh.log'), 'utf8'), /trace: forbidden[^]*open failed: connect failed/);
});

test('the shim takes the remote command off a command line, and nothing else but -M', () => {
  for (const [line, args, command] of [
    ['-F config host true', '-F config host', 'true'],
    ['-nq -Fconfig -p 22 host -v cat a -b', '-nq -Fconfig -p 22 host -v', 'cat a -b'],
    ['-- host true', '-- host', 'true'],
    ['-N -L 1:a:1 host', '-N -L 1:a:1 host', undefined],
    ['-MS ctl -f host', '-S ctl -f host', undefined],
    ['-Moa=M host exit 1', '-oa=M host', 'exit 1'],
    ['-M host exit 1', 'host', 'exit 1'],
    ['-G -l bar baz@host user=foo baz@host', '-G -l bar baz@host user=foo baz@host', undefined],
    ['-O check -S ctl host', '-O check -S ctl host', undefined],
  ]) {
    const call = parseCall(line.split(' '));
    assert.deepEqual([call.args.join(' '), call.command], [args, command], line);
  }
});

test('a failure of a regress script is counted once, with its trace', () => {
  const log = 'trace: a\nFAIL: one\n\ntrace: a\nFAIL: one\nFAIL: two\n\ntrace: b\nwords\n\nwords\nFAIL: three\n\n';
  const found = failures(log).map(({ context, fail }) => `${context} ${fail}`);
  assert.deepEqual(found, ['a one', 'a two', 'b three']);
});
