// Tunnels made from ssh_config files, with a real server.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { after } from 'node:test';

import { SSHTunnel } from '../../index.js';
import { Agent } from '../helpers/agents.mjs';
import { test } from '../helpers/bounded.mjs';
import { keygen, makeKey, temporaryFolder } from '../helpers/keys.mjs';
import { Target, behaviors, connect } from '../helpers/peers.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { EventLog, roundTrip } from '../helpers/tunnels.mjs';

const USER = userInfo().username;
const folder = temporaryFolder('config');
after(folder.remove);
const { at, write } = folder;

const authority = makeKey(at('authority'));
const server = await Sshd.start({ config: [`TrustedUserCAKeys ${authority.file}.pub`] });
after(() => server.stop());
const known = write(`[127.0.0.1]:${server.port} ${server.hostKeys[0].publicKey}\nalias ${server.hostKeys[0].publicKey}\n`, 'known_hosts');
const SERVER = `
  HostName 127.0.0.1
  Port ${server.port}
  UserKnownHostsFile ${known}
  GlobalKnownHostsFile none
  UpdateHostKeys no
  IdentityAgent none
`;

function fromConfig(t, host, text, overrides) {
  const tunnel = SSHTunnel.fromConfig(host, { configFile: write(text), ...overrides });
  t.after(() => tunnel.promises.shutdown());
  return tunnel;
}

test('a tunnel from Include, Match and LocalForward forwards both ways', async (t) => {
  const target = await Target.start(behaviors.echo());
  t.after(() => target.stop());
  const included = write(`Match originalhost work exec "test %n-%p = work-22"\n${SERVER}`);
  const port = (await Target.start().then(async (free) => (await free.stop(), free))).port;
  const tunnel = fromConfig(t, 'work', `
    Include ${included}
    Host work
      IdentityFile ${server.key.file}
      LocalForward ${port} 127.0.0.1:${target.port}
    Host *
      User ${USER}
      Ciphers ^aes128-ctr
  `);
  assert.deepEqual(tunnel.configNotices, []);
  const eventLog = new EventLog(tunnel);
  await tunnel.promises.startListening();
  assert.equal(tunnel.localPort, port);
  await roundTrip({ eventLog, target, connect: (how) => connect(port, how) }, 1 << 20);
});

test('a certificate, an agent key and a key under another name authenticate', async (t) => {
  const agent = await Agent.start();
  t.after(() => agent.stop());
  const target = { forwardHost: '127.0.0.1', forwardPort: 1 };
  const certified = makeKey(at('certified'));
  keygen('-q', '-s', authority.file, '-I', 'from-config', '-n', USER, `${certified.file}.pub`);
  await fromConfig(t, 'h', `${SERVER}\nIdentityFile ${certified.file}\n`, target).promises.connect();
  await server.logged(/Accepted certificate ID "from-config"/);

  const [held, otherKey] = ['held', 'otherKey'].map((name) => makeKey(at(name), { passphrase: '' }));
  agent.add(otherKey.file);
  agent.add(held.file);
  server.authorize(held.publicKey);
  // The private key file is removed; only the agent has the key.
  const text = `IdentityAgent ${agent.path}\nIdentitiesOnly yes\nIdentityFile ${held.file}.pub\nHostKeyAlias Alias\n${SERVER}`;
  await fromConfig(t, 'h', text, target).promises.connect();
  await server.logged(new RegExp(`Accepted publickey .*${held.fingerprint.replace(/[+/.]/g, '\\$&')}`));
  assert.ok(!server.log().includes(otherKey.fingerprint));

  const unknown = fromConfig(t, 'h', `HostKeyAlias nobody\nIdentityFile ${server.key.file}\n${SERVER}`, target);
  await assert.rejects(unknown.promises.connect(), { code: 'ERR_SSH_HOST_KEY' });
  const without = fromConfig(t, 'h', `PubkeyAuthentication no\nIdentityFile ${server.key.file}\n${SERVER}`, target);
  await assert.rejects(without.promises.connect(), { code: 'ERR_SSH_AUTH', message: /tried none; the server accepts publickey/ });
});

test('ProxyJump and ProxyCommand of the file are used', async (t) => {
  const [inner, outer] = [server, await Sshd.start()];
  t.after(() => outer.stop());
  const target = await Target.start(behaviors.echo());
  t.after(() => target.stop());
  outer.authorize(server.key.publicKey);
  writeFileSync(known, `[127.0.0.1]:${outer.port} ${outer.hostKeys[0].publicKey}\n`, { flag: 'a' });
  const script = write(`
    const [name, host, port] = process.argv.slice(2);
    require('node:fs').writeFileSync('${at('name')}', name);
    const socket = require('node:net').connect(port, host);
    socket.on('error', () => process.exit());
    process.stdin.pipe(socket).pipe(process.stdout);
  `, 'proxy.cjs');
  const text = `
    Host inner
      ProxyJump outer
      ${SERVER}
    Host outer
      HostName 127.0.0.1
      Port ${outer.port}
      ProxyCommand ${process.execPath} ${script} %n %h %p
    Host *
      IdentityFile ${server.key.file}
      IdentityAgent none
      UserKnownHostsFile ${known}
      GlobalKnownHostsFile none
      UpdateHostKeys no
  `;
  const tunnel = fromConfig(t, 'inner', text, { forwardHost: '127.0.0.1', forwardPort: target.port });
  assert.deepEqual(tunnel.configNotices, []);
  const eventLog = new EventLog(tunnel);
  await tunnel.promises.startListening();
  await roundTrip({ eventLog, target, connect: (how) => connect(tunnel.localPort, how) }, 1 << 20);
  const { fingerprint } = inner.key;
  const accepted = new RegExp(`Accepted publickey .*${fingerprint.replace(/[+/.]/g, '\\$&')}`);
  await Promise.all([inner.logged(accepted), outer.logged(accepted)]);
  assert.equal(readFileSync(at('name'), 'utf8'), 'outer', 'the name in the file, not the address');
});
