// Sockets of dial() beside sockets of node:net, in each version of Node.js: every member in every state, and every method
// with valid and invalid arguments. Events are compared in __test__/forward/dial-socket.test.mjs.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { nodeProgram } from '../helpers/npm-programs.mjs';
import { Target, behaviors } from '../helpers/peers.mjs';
import { ROOT, run } from '../helpers/process.mjs';
import { Sshd } from '../helpers/sshd.mjs';

const server = await Sshd.start();
const target = await Target.start(behaviors.echo());
after(() => Promise.all([server.stop(), target.stop()]));

const program = join(ROOT, '__test__', 'helpers', 'net-socket-process.mjs');

/** The differences that are meant: where, and why. */
const MEANT = [
  [/: (localAddress|localPort|localFamily)$|: address\(\)/, 'there is no local address'],
  [
    /^(destroyed|being reset).*: closed$/,
    "'closed' follows with 'close', when the connection has been closed by its Linger",
  ],
  [/^destroyed and closed: writable(Ended|Finished)$/, 'a graceful destroy() ends the stream'],
  [/^destroyed and closed: end\(/, 'the error of a stream that has ended'],
  [/^destroyed and closed: write\(/, 'an invalid value is not looked at'],
  [/^corked: writableBuffer$/, 'text is encoded at once, and so counted in bytes'],
  [/: setTimeout\(.*\): timeout$/, 'an invalid timeout changes nothing'],
  [/^connecting: [gs]etTypeOfService\(/, 'there is no descriptor that would be missing'],
];

const VERSIONS = { [process.versions.node]: () => process.execPath };
for (const version of ['22.23.5', '24.21.0', '26.10.0']) VERSIONS[version] = () => nodeProgram(version);

for (const [version, find] of Object.entries(VERSIONS)) {
  test(`each member does what that of a net.Socket does in Node.js ${version}`, async (t) => {
    const node = `${process.platform}-${process.arch}` === 'linux-x64' ? find() : process.execPath;
    if (!node) return t.skip(`there is no Node.js ${version} here`);
    const args = ['--no-warnings', program, JSON.stringify({ login: server.login, port: target.port })];
    const { code, stdout, stderr } = await run(node, args);
    assert.equal(code, 0, stderr);
    const differences = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    const { members, count } = differences.pop();
    const others = differences.filter(({ what }) => !MEANT.some(([pattern]) => pattern.test(what)));
    assert.deepEqual(others, []);
    // Each of these differences exists, and most members are compared.
    for (const [pattern, why] of MEANT.slice(0, -1))
      assert.ok(
        differences.some(({ what }) => pattern.test(what)),
        why,
      );
    assert.ok(members.length >= 80 && count >= 1500, `${members.length}, ${count}`);
    t.diagnostic(`${members.length} members, ${count} comparisons`);
  });
}
