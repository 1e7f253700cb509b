// Names of options that do not exist.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

import { test } from '../helpers/bounded.mjs';
import { ROOT, run } from '../helpers/process.mjs';

const { OPTIONS } = createRequire(import.meta.url)('../../lib/validate/option-names.js');

const PIN = `SHA256:${'A'.repeat(43)}`;

/** The warnings of a program that uses the package. */
async function warnings(code) {
  const source = `const { SSHTunnel } = require(${JSON.stringify(ROOT)});
    const warnings = []; process.on('warning', ({ message, code }) => warnings.push([code, message]));
    const make = (options) => { const tunnel = new SSHTunnel({ host: 'h', username: 'u', hostKey: '${PIN}', ...options }); return tunnel; };
    const refused = (make) => { try { make() } catch {} };
    ${code}; setImmediate(() => console.log(JSON.stringify(warnings)))`;
  const { stdout } = await run(process.execPath, ['--no-warnings', '-e', source]);
  const found = JSON.parse(stdout);
  for (const [code] of found) assert.equal(code, 'SSHTUNNEL_UNKNOWN_OPTION');
  return found.map(([, message]) => message);
}

const unknown = (name, close, of = 'SSHTunnel') =>
  `'${name}' is not an option of ${of}, and is ignored${close === undefined ? '' : `: did you mean '${close}'?`}`;

test('an option that does not exist gives one warning with the nearest name', async () => {
  const CLOSE = {
    user: 'username',
    hostname: 'host',
    keepAliveInterval: 'keepaliveInterval',
    keepaliveinterval: 'keepaliveInterval',
    readyTimout: 'readyTimeout',
    privatekey: 'privateKey',
    forwadHost: 'forwardHost',
    forwardhots: 'forwardHost',
    dstHost: 'forwardHost',
    dstPort: 'forwardPort',
    srcPort: 'localPort',
    lingr: 'linger',
    pass: 'password',
    identityFile: 'privateKey',
    proxyJump: 'jump',
    knownHostsFile: 'knownHosts',
    hostKeys: 'hostKey',
    usernmae: 'username',
    reconect: 'reconnect',
    local: 'localHost',
    passphrases: 'passphrase',
    verbose: undefined,
    x: undefined,
  };
  const names = Object.keys(CLOSE);
  const code = `for (let turn = 0; turn < 3; turn++) for (const name of ${JSON.stringify(names)}) make({ [name]: 1 })`;
  assert.deepEqual(
    await warnings(code),
    names.map((name) => unknown(name, CLOSE[name])),
  );
});

test('the options of options, of methods and of overrides give warnings too', async () => {
  const found = await warnings(`
    make({ jump: [{ host: 'j', username: 'u', hostKey: '${PIN}', readyTimeout: 1 }], reconnect: { maxDealy: 1 }, rekey: { byte: 1 }, sessions: { connectionEach: 1 } });
    refused(() => make({ privateKey: { key: 'x', passphrse: 'y' } }));
    SSHTunnel.fromConfig('h', { configFile: 'none', username: 'u', usrname: 'v' });
    const tunnel = make({});
    refused(() => tunnel.forwardLocal({ localport: 1 })); refused(() => tunnel.forwardDynamic({ user: 1 })); refused(() => tunnel.forwardRemote({ remoteport: 1 }));
    tunnel.shutdown({ forced: true }); tunnel.close({ timout: 1 });
  `);
  assert.deepEqual(
    found.sort(),
    [
      unknown('byte', 'bytes', 'rekey'),
      unknown('maxDealy', 'maxDelay', 'reconnect'),
      unknown('connectionEach', 'connectionsEach', 'sessions'),
      unknown('readyTimeout', undefined, 'a jump host'),
      unknown('passphrse', 'passphrase', 'a privateKey'),
      unknown('usrname', 'username'),
      unknown('localport', 'localPort', 'forwardLocal()'),
      unknown('user', 'username', 'forwardDynamic()'),
      unknown('remoteport', 'remotePort', 'forwardRemote()'),
      unknown('forced', 'force', 'shutdown()'),
      unknown('timout', 'timeout', 'close()'),
    ].sort(),
  );
});

test('options that exist, or are undefined, give no warning', async () => {
  const all = OPTIONS.SSHTunnel.map((name) => `refused(() => make({ ${name}: 0 }))`).join(';');
  assert.deepEqual(await warnings(`${all}; make({ user: undefined }); make(Object.create({ user: 1 }))`), []);
});

test('a name in a warning controls no terminal', async () => {
  const [message] = await warnings('make({ ["a\\u001b[2J\\n"]: 1 })');
  assert.equal(message, unknown('a\\u001b[2J\\n', undefined));
});

test('the names are those of index.d.ts', () => {
  const types = readFileSync(join(ROOT, 'index.d.ts'), 'utf8');
  const membersOf = (name) => {
    const declaration = new RegExp(`^export interface ${name} (?:extends (\\w+) )?\\{\\n([^]*?)^\\}`, 'm');
    const [, base, body] = declaration.exec(types);
    const own = [...body.matchAll(/^ {2}(\w+)\??:/gm)].map(([, member]) => member);
    return [...own, ...(base === undefined ? [] : membersOf(base))].sort();
  };
  const names = {
    SSHTunnel: 'SSHTunnelOptions',
    reconnect: 'ReconnectOptions',
    rekey: 'RekeyOptions',
    sessions: 'SessionsOptions',
    forwardLocal: 'LocalForwardOptions',
    forwardDynamic: 'DynamicForwardOptions',
    forwardRemote: 'RemoteForwardOptions',
    connect: 'AbortOptions',
    startListening: 'AbortOptions',
    close: 'CloseOptions',
    shutdown: 'ShutdownOptions',
  };
  for (const [kind, name] of Object.entries(names)) assert.deepEqual([...OPTIONS[kind]].sort(), membersOf(name), name);
  const [, hop] = /interface JumpHost\s+extends Pick<\s+SSHTunnelOptions,([^>]*)>/.exec(types);
  assert.deepEqual([...OPTIONS.jump].sort(), [...hop.matchAll(/'(\w+)'/g)].map(([, member]) => member).sort());
});
