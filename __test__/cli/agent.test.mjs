// The command and an agent, beside ssh: the order of keys, and AddKeysToAgent.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';

import { Agent, AgentProxy } from '../helpers/agents.mjs';
import { test } from '../helpers/bounded.mjs';
import { AtTerminal, Cli, Setting, hasTerminal } from '../helpers/cli.mjs';
import { findProgram } from '../helpers/ensure-sshd.mjs';
import { keygen, makeKey, temporaryFolder } from '../helpers/keys.mjs';
import { run } from '../helpers/process.mjs';
import { Sshd } from '../helpers/sshd.mjs';

const UNIX = { skip: process.platform === 'win32' && 'agents listen on Unix sockets here' };

/** Message numbers of the agent protocol. */
const [ADD, ADD_CONSTRAINED] = [17, 25];

const folder = temporaryFolder('cli-agent');
const at = (name) => join(folder.path, name);
const authority = makeKey(at('authority'));
const server = await Sshd.start({ config: [`TrustedUserCAKeys ${authority.file}.pub`, 'MaxAuthTries 20'] });
const setting = new Setting(server);
after(async () => {
  await Promise.all([server.stop(), setting.remove()]);
  folder.remove();
});

let count = 0;
const newKey = (options) => makeKey(at(`key${count++}`), options);
const known = (key) => {
  server.authorize(key.publicKey);
  return key;
};

async function newAgent(t, env) {
  const agent = await Agent.start(env);
  t.after(() => agent.stop());
  return agent;
}

/** Options of ssh for an agent and keys. */
function options(agent, keys, ...more) {
  const settings = [
    ...more,
    `UserKnownHostsFile=${setting.knownHosts}`,
    'GlobalKnownHostsFile=none',
    'UpdateHostKeys=no',
    `IdentityAgent=${agent}`,
    ...keys.map(({ file }) => `IdentityFile=${file}`),
  ];
  const words = settings.flatMap((one) => ['-o', one]);
  return ['-F', 'none', '-p', String(server.port), ...words, '-W', `127.0.0.1:${server.port}`, '127.0.0.1'];
}

/** Whether ssh connects. */
async function ssh(args, { env } = {}) {
  const { stdout, stderr } = await run(findProgram('ssh'), args, { env: { ...process.env, ...env } });
  return { connects: stdout.startsWith('SSH-2.0'), stderr };
}

/** Whether the command connects. */
async function ours(t, args, { env } = {}) {
  const { stdout, stderr } = await Cli.start(t, args, { env }).end();
  return { connects: stdout.startsWith('SSH-2.0'), stderr };
}

/** The fingerprints of the keys in the order in which the server was offered them, and whether with a certificate. */
async function offered(connect) {
  const since = server.log().length;
  assert.ok((await connect()).connects);
  const lines = server
    .log()
    .slice(since)
    .matchAll(/(?:Failed|Accepted) publickey .*? (\S+) (SHA256:\S+)/g);
  return Array.from(lines, ([, type, fingerprint]) => `${type} ${fingerprint}`);
}

test(
  'keys are offered in the order of ssh: those of the agent first, and of them those of IdentityFile',
  UNIX,
  async (t) => {
    const [one, two, file, both, last] = [newKey(), newKey(), newKey(), newKey(), known(newKey())];
    const agent = await newAgent(t);
    for (const key of [one, both, two]) agent.add(key.file);
    const files = [file, both, last];
    const plain = ({ fingerprint }) => `ED25519 ${fingerprint}`;
    for (const [more, expected] of [
      [[], [both, one, two, file, last]],
      [['IdentitiesOnly=yes'], [both, file, last]],
    ]) {
      const args = options(agent.path, files, 'BatchMode=yes', ...more);
      const theirs = await offered(() => ssh(args));
      assert.deepEqual(theirs, expected.map(plain));
      assert.deepEqual(await offered(() => ours(t, args)), theirs);
    }
  },
);

test('a CertificateFile comes before all keys, as for ssh', UNIX, async (t) => {
  const [one, file, certified] = [newKey(), newKey(), newKey()];
  const agent = await newAgent(t);
  agent.add(one.file);
  const certificate = at('certificate.pub');
  keygen('-q', '-s', authority.file, '-I', 'named', '-n', userInfo().username, `${certified.file}.pub`);
  copyFileSync(`${certified.file}-cert.pub`, certificate);
  for (const keys of [
    [file, certified],
    [certified, file],
  ]) {
    const args = options(agent.path, keys, 'BatchMode=yes', `CertificateFile=${certificate}`);
    const theirs = await offered(() => ssh(args));
    assert.equal(theirs.length, 1);
    assert.match(theirs[0], /^ED25519-CERT /);
    assert.deepEqual(await offered(() => ours(t, args)), theirs);
  }
});

for (const kind of [
  { type: 'ed25519' },
  { type: 'ecdsa', bits: 256 },
  { type: 'ecdsa', bits: 521 },
  { type: 'rsa', bits: 2048 },
  { type: 'rsa', bits: 2048, format: 'PEM' },
  { type: 'ecdsa', bits: 384, format: 'PKCS8' },
]) {
  test(
    `AddKeysToAgent adds the key that authenticated, as ssh does: ${Object.values(kind).join(' ')}`,
    UNIX,
    async (t) => {
      const [key, unused] = [known(newKey(kind)), newKey()];
      const lists = [];
      for (const connect of [ssh, (args) => ours(t, args)]) {
        const agent = await newAgent(t);
        const args = options(agent.path, [unused, key], 'BatchMode=yes', 'AddKeysToAgent=yes');
        assert.ok((await connect(args)).connects);
        lists.push(agent.list());
        // The agent has the private key: it signs.
        agent.run('-T', `${key.file}.pub`);
      }
      assert.equal(lists[0].length, 1);
      assert.ok(lists[0][0].includes(key.fingerprint));
      assert.deepEqual(lists[1], lists[0]);
    },
  );
}

test('without AddKeysToAgent, and where nobody can be asked, no key is added', UNIX, async (t) => {
  const key = known(newKey());
  const agent = await newAgent(t);
  for (const settings of [[], ['AddKeysToAgent=no'], ['AddKeysToAgent=ask']]) {
    assert.ok((await ours(t, options(agent.path, [key], 'BatchMode=yes', ...settings))).connects);
    assert.deepEqual(agent.list(), []);
  }
});

/** A program that writes each prompt to a file, and answers by its body. */
function askpass(body) {
  const [file, prompts] = [setting.missing('askpass'), setting.missing('prompts')];
  writeFileSync(file, `#!/bin/sh\necho "$SSH_ASKPASS_PROMPT: $1" >> ${prompts}\n${body}\n`, { mode: 0o700 });
  const read = () => (existsSync(prompts) ? readFileSync(prompts, 'utf8').split('\n').filter(Boolean) : []);
  return { env: { SSH_ASKPASS: file, SSH_ASKPASS_REQUIRE: 'force', DISPLAY: ':0' }, read };
}

test('AddKeysToAgent ask: the program of SSH_ASKPASS is asked, as by ssh', UNIX, async (t) => {
  const key = known(newKey());
  for (const [body, added] of [
    ['exit 0', true],
    ['echo yes', true],
    ['echo no', false],
    ['exit 1', false],
  ]) {
    const prompts = [];
    for (const connect of [ssh, (...args) => ours(t, ...args)]) {
      const agent = await newAgent(t);
      const { env, read } = askpass(body);
      assert.ok((await connect(options(agent.path, [key], 'AddKeysToAgent=ask'), { env })).connects);
      assert.equal(agent.list().length, added ? 1 : 0, body);
      prompts.push(read());
    }
    assert.deepEqual(prompts[1], prompts[0]);
    assert.match(prompts[0].join(), /^confirm: Add key \S+ \(.*\) to agent\?$/);
  }
});

test('AddKeysToAgent ask: the terminal is asked', {
  skip: UNIX.skip || (!hasTerminal && 'there is no script(1)'),
}, async (t) => {
  const key = known(newKey());
  const agent = await newAgent(t);
  const args = options(agent.path, [key], 'AddKeysToAgent=ask').filter(
    (word, index, all) => ![word, all[index - 1]].includes('-W'),
  );
  for (const [answer, added] of [
    ['no', 0],
    ['', 0],
    ['yes', 1],
  ]) {
    const session = AtTerminal.start(t, ['--no-view', '-Nv', ...args]);
    await session.sees(/Add key \S+ \(.*\) to agent\? \(yes\/no\) /);
    session.type(`${answer}\r`);
    await session.sees(/Authenticated/);
    assert.equal(agent.list().length, added);
    session.type('\x03');
    await session.sees(/status 0\r\n/);
  }
  // The agent has it now, and nothing is asked.
  const again = AtTerminal.start(t, ['--no-view', '-Nv', ...args]);
  await again.sees(/Authenticated/);
  again.type('\x03');
  await again.sees(/status 0\r\n/);
  assert.doesNotMatch(again.stdout, /Add key/);
});

test('AddKeysToAgent with a time: the agent forgets the key', UNIX, async (t) => {
  const key = known(newKey());
  const agent = await newAgent(t);
  const proxy = await AgentProxy.start(agent);
  t.after(() => proxy.stop());
  assert.ok((await ours(t, options(proxy.path, [key], 'BatchMode=yes', 'AddKeysToAgent=1'))).connects);
  assert.ok(proxy.requests.includes(ADD_CONSTRAINED));
  // There is no event for what an agent does with time.
  while (agent.list().length > 0) await new Promise((resolve) => setTimeout(resolve, 100));
});

test(
  'AddKeysToAgent confirm: the agent asks its user before it signs, with a time if there is one',
  UNIX,
  async (t) => {
    const key = known(newKey());
    for (const [value, lasts] of [
      ['confirm', true],
      ['confirm 4', false], // long enough for ssh-add on a busy machine
    ]) {
      const { env, read } = askpass('exit 0');
      const agent = await newAgent(t, env);
      assert.ok((await ours(t, options(agent.path, [key], 'BatchMode=yes', `AddKeysToAgent=${value}`))).connects);
      assert.deepEqual(read(), [], 'nothing is asked when it is added');
      agent.run('-T', `${key.file}.pub`);
      assert.match(read().join(), /confirm: Allow use of key/);
      if (!lasts) while (agent.list().length > 0) await new Promise((resolve) => setTimeout(resolve, 100));
      assert.equal(agent.list().length, lasts ? 1 : 0);
    }
  },
);

test(
  'a key that the agent refuses with its limits is not added without them, and the session is up',
  UNIX,
  async (t) => {
    const key = known(newKey());
    const requests = [];
    const limited = net.createServer((socket) => {
      socket.on('error', () => {});
      socket.on('data', (bytes) => {
        requests.push(bytes[4]);
        // The list is empty, and everything else is refused.
        socket.write(bytes[4] === 11 ? Buffer.from([0, 0, 0, 5, 12, 0, 0, 0, 0]) : Buffer.from([0, 0, 0, 1, 5]));
      });
    });
    const path = setting.missing('agent');
    limited.listen(path);
    await once(limited, 'listening');
    t.after(() => limited.close());
    assert.ok((await ours(t, options(path, [key], 'BatchMode=yes', 'AddKeysToAgent=confirm'))).connects);
    assert.deepEqual(
      requests.filter((number) => [ADD, ADD_CONSTRAINED].includes(number)),
      [ADD_CONSTRAINED],
    );
    // An agent that is not there, or that ends, is no failure either.
    assert.ok((await ours(t, options(setting.missing('none'), [key], 'BatchMode=yes', 'AddKeysToAgent=yes'))).connects);
  },
);
