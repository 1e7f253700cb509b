// Invalid arguments: each is rejected with a typed error that names it, and changes nothing.
import assert from 'node:assert/strict';
import { Duplex } from 'node:stream';
import { describe, test } from 'node:test';
import { inspect } from 'node:util';

import { SSHTunnel } from '../../index.js';

const options = { host: '127.0.0.1', port: 1, username: 'user', forwardHost: 'localhost', forwardPort: 9 };
const make = (more) => new SSHTunnel({ ...options, ...more });

const type = { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' };
const range = { name: 'RangeError', code: 'ERR_OUT_OF_RANGE' };
const value = { name: 'TypeError', code: 'ERR_INVALID_ARG_VALUE' };

const refuses = (call, expected, message) => assert.throws(call, { ...expected, ...(message && { message }) });

describe('constructor', () => {
  test('requires options, a host and a target', () => {
    refuses(() => new SSHTunnel(), type, 'The "options" argument must be of type object. Received undefined');
    refuses(() => new SSHTunnel(null), type, 'The "options" argument must be of type object. Received null');
    refuses(() => new SSHTunnel([]), type, 'The "options" argument must be of type object. Received an instance of Array');
    for (const name of ['host', 'forwardHost']) {
      refuses(() => make({ [name]: undefined }), type, `The "options.${name}" property must be of type string. Received undefined`);
      refuses(() => make({ [name]: '' }), value, `The property 'options.${name}' must not be empty. Received ''`);
    }
    refuses(() => make({ forwardPort: undefined }), type, 'The "options.forwardPort" property must be of type number. Received undefined');
  });

  test('checks the type of every option', () => {
    const wrong = {
      host: 5, port: '22', username: 5, password: 5, privateKey: 5, passphrase: 5, agent: 5, tryKeyboard: 1, authHandler: 'agent', algorithms: 5, hostKey: 5, knownHosts: 5,
      hostVerifier: true, strictHostKeyChecking: 1, hostKeyAlias: 5, updateHostKeys: 1, revokedHostKeys: 1, requiredRSASize: '1', jump: 5, proxyCommand: 5, sock: 5, localAddress: 5, forceIPv4: 1, forceIPv6: 1, localHost: 5, localPort: '0', reusePort: 1, forwardHost: 5, forwardPort: '9', linger: 1, keepAlive: 1,
      idleTimeout: '1', keepaliveInterval: '1', keepaliveCountMax: '1', readyTimeout: '1', rekey: 5, reconnect: 1, windowLimit: '1', memoryLimit: '1', sessions: true, maxConnections: '1',
    };
    for (const [name, bad] of Object.entries(wrong)) {
      for (const given of [bad, null, Symbol('s')]) {
        assert.throws(() => make({ [name]: given }), (error) => {
          assert.equal(error.code, 'ERR_INVALID_ARG_TYPE', name);
          assert.ok(error instanceof TypeError);
          assert.ok(error.message.startsWith(`The "options.${name}" property must be `), error.message);
          return true;
        });
      }
    }
    refuses(() => make({ knownHosts: ['a', 5] }), type, 'The "options.knownHosts[1]" property must be of type string. Received type number (5)');
    refuses(() => make({ linger: 'yes' }), type, `The "options.linger" property must be one of type boolean or object. Received type string ('yes')`);
  });

  test('checks the range of every number', () => {
    const ranges = {
      port: [1, 65535], localPort: [0, 65535], forwardPort: [1, 65535],
      idleTimeout: [0, 2 ** 31 - 1], keepaliveInterval: [0, 2 ** 31 - 1],
      keepaliveCountMax: [1, 2 ** 31 - 1], readyTimeout: [0, 2 ** 31 - 1], windowLimit: [2 ** 17, 2 ** 30], sessions: [1, 256], maxConnections: [1, 2 ** 32 - 1],
    };
    for (const [name, [least, most]] of Object.entries(ranges)) {
      make({ [name]: least });
      make({ [name]: most });
      const message = (shown) => `The value of "options.${name}" is out of range. It must be >= ${least} && <= ${most}. Received ${shown}`;
      refuses(() => make({ [name]: least - 1 }), range, message(least - 1));
      refuses(() => make({ [name]: 2 ** 40 }), range, message('1_099_511_627_776'));
      for (const odd of [1.5, NaN, Infinity]) {
        refuses(() => make({ [name]: odd }), range, `The value of "options.${name}" is out of range. It must be an integer. Received ${odd}`);
      }
    }
  });

  test('checks the members of sessions', () => {
    for (const good of ['auto', {}, { max: 1 }, { max: 256, connectionsEach: 1 }, { connectionsEach: 2 ** 32 - 1 }]) make({ sessions: good });
    refuses(() => make({ sessions: '4' }), value, "The property 'options.sessions' must be 'auto', if it is a string. Received '4'");
    refuses(() => make({ sessions: [4] }), type, `The "options.sessions" property must be 'auto', or one of type number or object. Received an instance of Array`);
    for (const [member, most] of [['max', 256], ['connectionsEach', 2 ** 32 - 1]]) {
      refuses(() => make({ sessions: { [member]: '4' } }), type, `The "options.sessions.${member}" property must be of type number. Received type string ('4')`);
      refuses(() => make({ sessions: { [member]: 0 } }), range, `The value of "options.sessions.${member}" is out of range. It must be >= 1 && <= ${most}. Received 0`);
      refuses(() => make({ sessions: { [member]: 1.5 } }), range, `The value of "options.sessions.${member}" is out of range. It must be an integer. Received 1.5`);
    }
  });

  test('rejects an invalid localAddress, and one of a family that is excluded', () => {
    make({ localAddress: '127.0.0.1', forceIPv4: true });
    make({ localAddress: '::1', forceIPv6: true });
    for (const bad of ['localhost', '127.1', '::1%lo', '']) assert.throws(() => make({ localAddress: bad }), value);
    refuses(() => make({ localAddress: 'eth0' }), value, "The property 'options.localAddress' must be an IP address. Received 'eth0'");
    refuses(() => make({ localAddress: '::1', forceIPv4: true }), value, "The property 'options.localAddress' must be of the family that is forced. Received '::1'");
    refuses(() => make({ forceIPv4: true, forceIPv6: true }), value, "The property 'options.forceIPv6' leaves no address together with forceIPv4. Received true");
  });

  test('rejects a host with a user, a port or a scheme, unless it is not dialed', () => {
    const reason = 'must be a name or an address: user and port have options of their own';
    for (const host of ['me@gateway', 'gateway:22', 'gateway:', 'ssh://gateway', 'ssh://me@[::1]:22', '127.0.0.1:22']) {
      refuses(() => make({ host }), value, `The property 'options.host' ${reason}. Received '${host}'`);
      refuses(() => make({ jump: { host } }), value, `The property 'options.jump.host' ${reason}. Received '${host}'`);
      make({ host, sock: new Duplex() });
      make({ host: 'gateway', jump: { host, proxyCommand: 'nc gateway 22' } });
    }
    for (const host of ['gateway', '127.0.0.1', '::1', 'fe80::1%eth0', '::ffff:127.0.0.1']) make({ host });
  });

  test('checks jump hosts like the server', () => {
    const hop = { host: 'gateway' };
    for (const jump of [hop, [], [hop, { ...hop, port: 2222, username: 'u', password: 'p' }], undefined]) make({ jump });
    refuses(() => make({ jump: 'gateway' }), type, `The "options.jump" property must be of type object or an instance of Array. Received type string ('gateway')`);
    refuses(() => make({ jump: [hop, null] }), type, 'The "options.jump[1]" property must be of type object. Received null');
    refuses(() => make({ jump: {} }), type, 'The "options.jump.host" property must be of type string. Received undefined');
    refuses(() => make({ jump: [hop, { ...hop, port: 0 }] }), range, 'The value of "options.jump[1].port" is out of range. It must be >= 1 && <= 65535. Received 0');
    refuses(() => make({ jump: [hop, { ...hop, hostKey: 'x' }] }), value, /^The property 'options\.jump\[1\]\.hostKey' is invalid: /);
    refuses(() => make({ jump: { ...hop, algorithms: { kex: ['x'] } } }), value, /^The property 'options\.jump\.algorithms\.kex' names no known /);
    refuses(() => make({ jump: { ...hop, tryKeyboard: true } }), value, "The property 'options.jump.tryKeyboard' must not be true for a jump host. Received true");
    assert.throws(() => make({ jump: { ...hop, password: 20002 } }), (error) => error.message.endsWith('Received type number'));
  });

  test('accepts only one of jump, proxyCommand and sock', () => {
    const hop = { host: 'gateway' };
    make({ proxyCommand: 'nc %h %p %r %n 100%%' });
    make({ jump: [{ ...hop, proxyCommand: 'nc %h %p' }, hop] });
    make({ jump: [], proxyCommand: 'nc %h %p' });
    const reason = 'must not be given together with jump: give it to the first jump host';
    refuses(() => make({ jump: hop, proxyCommand: 'nc' }), value, `The property 'options.proxyCommand' ${reason}. Received type string`);
    refuses(() => make({ jump: [hop, { ...hop, proxyCommand: 'nc' }] }), value, "The property 'options.jump[1].proxyCommand' is for the first jump host only. Received type string");
    refuses(() => make({ jump: { ...hop, jump: hop } }), value, "The property 'options.jump.jump' must not be given: all jump hosts are in one list. Received an instance of Object");
    refuses(() => make({ proxyCommand: 'nc %C' }), value, "The property 'options.proxyCommand' contains the unknown token %C. Received type string");
    const strange = { ...hop, host: '$(id)', proxyCommand: 'nc %h' };
    refuses(() => make({ jump: strange }), value, "The property 'options.jump.proxyCommand' uses %h, but the host name contains '$', which the shell would interpret. Received type string");
    refuses(() => make({ proxyCommand: '' }), value, "The property 'options.proxyCommand' must not be empty. Received ''");
  });

  test('accepts reconnect as a boolean or an object', () => {
    const longest = 2 ** 31 - 1;
    for (const good of [
      true, false, undefined, {}, { initialDelay: 1, maxDelay: 1, maxAttempts: 1 }, { initialDelay: longest },
      { maxDelay: 1 }, { maxDelay: undefined, maxAttempts: longest }, { initialDelay: 40_000 },
    ]) make({ reconnect: good });
    refuses(() => make({ reconnect: 'yes' }), type, `The "options.reconnect" property must be one of type boolean or object. Received type string ('yes')`);
    refuses(() => make({ reconnect: [] }), type);
    for (const name of ['initialDelay', 'maxDelay', 'maxAttempts']) {
      refuses(() => make({ reconnect: { [name]: '1' } }), type, `The "options.reconnect.${name}" property must be of type number. Received type string ('1')`);
      for (const bad of [null, Symbol('s'), 1n]) refuses(() => make({ reconnect: { [name]: bad } }), type);
      for (const bad of [0, -1, 1.5, NaN, Infinity, longest + 1]) refuses(() => make({ reconnect: { [name]: bad } }), range);
    }
    refuses(() => make({ reconnect: { initialDelay: 500, maxDelay: 499 } }), range, `The value of "options.reconnect.maxDelay" is out of range. It must be >= 500 && <= ${longest}. Received 499`);
  });

  test('accepts linger as a boolean or a structure', () => {
    assert.equal(make({}).getLinger(), true);
    assert.equal(make({ linger: false }).getLinger(), false);
    assert.deepEqual(make({ linger: false }).getLingerOption(), { l_onoff: 1, l_linger: 0 });
    for (const l_onoff of [0, 1]) {
      const tunnel = make({ linger: { l_onoff, l_linger: 9 } });
      assert.deepEqual(tunnel.getLingerOption(), { l_onoff, l_linger: 9 });
      assert.equal(tunnel.getLinger(), true);
    }
    refuses(() => make({ linger: { l_onoff: 1 } }), type, 'The "options.linger.l_linger" property must be of type number. Received undefined');
  });

  test('checks strictHostKeyChecking', () => {
    const name = 'options.strictHostKeyChecking';
    for (const word of ['yes', 'No', 'ask', 'off', '', 'Accept-New']) {
      refuses(() => make({ strictHostKeyChecking: word }), value, `The property '${name}' must be true, 'accept-new', 'no' or false. Received '${word}'`);
    }
    // The user's own files, or the given ones.
    make({ strictHostKeyChecking: 'accept-new', updateHostKeys: true });
    make({ strictHostKeyChecking: 'accept-new', updateHostKeys: true, knownHosts: 'file', hostVerifier: () => true });
    for (const strictHostKeyChecking of [false, 'no']) make({ strictHostKeyChecking, knownHosts: [] });
    for (const nowhere of [{ knownHosts: [] }, { hostKey: [] }, { hostVerifier: () => true }]) {
      const file = 'needs a file in options.knownHosts to write to';
      refuses(() => make({ ...nowhere, strictHostKeyChecking: 'accept-new' }), value, `The property '${name}' ${file}. Received 'accept-new'`);
      refuses(() => make({ ...nowhere, updateHostKeys: true }), value, `The property 'options.updateHostKeys' ${file}. Received true`);
    }
    refuses(() => make({ hostKeyAlias: '' }), value, `The property 'options.hostKeyAlias' must not be empty. Received ''`);
  });

  test('rejects an invalid hostKey', () => {
    const line = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJfG2iq2nn7VO2ILJ8TQKiPnMWO2nBL8PBSF0bLf4xJ2';
    make({ hostKey: [line, `${line} a comment`, `SHA256:${'A'.repeat(43)}`] });
    for (const bad of ['SHA256:short', 'ssh-ed25519', 'MD5:00', 'ssh-ed25519 AAAA!']) {
      assert.throws(() => make({ hostKey: bad }), value);
    }
    refuses(() => make({ hostKey: 'SHA256:x' }), value, "The property 'options.hostKey' is invalid: 'SHA256:' has to be followed by 43 characters of base64. Received 'SHA256:x'");
    refuses(() => make({ hostKey: [5] }), type, 'The "options.hostKey[0]" property must be of type string. Received type number (5)');
  });

  test('checks requiredRSASize and the limits of rekeying', () => {
    for (const rekey of [{}, { bytes: undefined, seconds: undefined }, { bytes: 2 ** 20, seconds: 0 }, { bytes: 2 ** 36, seconds: 2_147_483 }]) make({ rekey });
    const at = (name) => `"options.rekey.${name}"`;
    for (const [rekey, message] of [
      [{ bytes: 2 ** 20 - 1 }, `The value of ${at('bytes')} is out of range. It must be >= 1048576 && <= 68719476736. Received 1048575`],
      [{ bytes: 2 ** 36 + 1 }, `The value of ${at('bytes')} is out of range. It must be >= 1048576 && <= 68719476736. Received 68_719_476_737`],
      [{ seconds: -1 }, `The value of ${at('seconds')} is out of range. It must be >= 0 && <= 2147483. Received -1`],
      [{ seconds: 0.5 }, `The value of ${at('seconds')} is out of range. It must be an integer. Received 0.5`],
    ]) refuses(() => make({ rekey }), range, message);
    refuses(() => make({ rekey: { bytes: '1G' } }), type, `The ${at('bytes')} property must be of type number. Received type string ('1G')`);
    refuses(() => make({ rekey: { seconds: null } }), type, `The ${at('seconds')} property must be of type number. Received null`);
  });

  test('accepts lists of algorithms and changes to the default lists', () => {
    const good = [
      {}, { kex: undefined }, { kex: ['curve25519-sha256'] }, { compress: ['none'] }, { cipher: {} },
      { cipher: { remove: 'aes128-ctr', prepend: ['aes256-ctr', 'aes256-ctr'], append: undefined } },
      { hmac: { remove: ['hmac-sha2-256', 'hmac-sha2-512'], append: 'hmac-sha2-256' } },
      { compress: { remove: 'none', append: 'none' } }, Object.create({ serverHostKey: ['ssh-ed25519'] }),
    ];
    for (const algorithms of good) make({ algorithms });
    const at = (rest, list) => [{ algorithms: list }, `The "options.algorithms${rest}`];
    for (const [bad, message] of [
      at('" property must be of type object. Received an instance of Array', []),
      at('.cipher" property must be of type object or an instance of Array. Received type string (\'aes256-ctr\')', { cipher: 'aes256-ctr' }),
      at('.kex" property must be of type object or an instance of Array. Received null', { kex: null }),
      at('.hmac[1]" property must be of type string. Received type number (5)', { hmac: ['hmac-sha2-256', 5] }),
      at('.hmac.remove" property must be of type string or an instance of Array. Received an instance of RegExp', { hmac: { remove: /sha1/ } }),
      at('.hmac.append[0]" property must be of type string. Received undefined', { hmac: { append: [undefined] } }),
    ]) refuses(() => make(bad), type, message);
  });

  test('rejects unknown algorithms and empty lists', () => {
    const at = (rest, list) => [{ algorithms: list }, `The property 'options.algorithms.${rest}`];
    for (const [bad, message] of [
      at(`compress' names no known compression, which are none, zlib@openssh.com. Received 'zlib'`, { compress: ['none', 'zlib'] }),
      at(`hmac' must not be empty. Received []`, { hmac: [] }),
      at(`hmac[0]' must not be empty. Received ''`, { hmac: [''] }),
      at(`compress' leaves no compression. Received { remove: ["none"] }`, { compress: { remove: ['none'] } }),
      at(`ciphers' must be one of: kex, cipher, serverHostKey, hmac, compress, caSignature, publicKey. Received [ 'aes256-ctr' ]`, { ciphers: ['aes256-ctr'] }),
      at(`cipher.first' must be one of: remove, prepend, append. Received 'aes256-ctr'`, { cipher: { first: 'aes256-ctr' } }),
    ]) refuses(() => make(bad), value, message);
    const kinds = { kex: 'diffie-hellman-group1-sha1', cipher: 'aes256-cbc', serverHostKey: 'ssh-dss', hmac: 'hmac-sha1', compress: 'zlib' };
    for (const [kind, name] of Object.entries(kinds)) {
      for (const list of [[name], { remove: name }, { prepend: name }, { append: [name] }]) {
        assert.throws(() => make({ algorithms: { [kind]: list } }), (error) => {
          assert.equal(error.code, 'ERR_INVALID_ARG_VALUE');
          assert.ok(error instanceof TypeError);
          assert.match(error.message, new RegExp(`^The property 'options\\.algorithms\\.${kind}' names no .*Received '${name}'$`));
          return true;
        });
      }
    }
  });

  test('accepts an authHandler only if it names a usable method', () => {
    const given = { password: 'p', privateKey: 'k', agent: '/a', tryKeyboard: true };
    make({ ...given, authHandler: ['password', 'keyboard-interactive', 'agent', 'publickey', 'none'] });
    make({ authHandler: ['none'] });
    make({ password: 'p', authHandler: ['agent', 'keyboard-interactive'] });
    const list = `'none', 'publickey', 'agent', 'keyboard-interactive', 'password'`;
    refuses(() => make({ authHandler: ['hostbased'] }), value, `The property 'options.authHandler[0]' must be one of: ${list}. Received 'hostbased'`);
    refuses(() => make({ authHandler: ['none', 'none'] }), value, `The property 'options.authHandler[1]' must not repeat a method. Received 'none'`);
    refuses(() => make({ authHandler: ['none', 5] }), type, 'The "options.authHandler[1]" property must be of type string. Received type number (5)');
    for (const authHandler of [[], ['publickey'], ['agent', 'password', 'keyboard-interactive']]) {
      assert.throws(() => make({ authHandler }), value);
    }
    refuses(() => make({ agent: '' }), value, `The property 'options.agent' must not be empty. Received ''`);
  });

  test('ignores unknown options and treats undefined as absent', () => {
    const tunnel = make({ color: 'blue', port: undefined, linger: undefined, hostKey: undefined, password: undefined });
    assert.equal(tunnel.getLinger(), true);
  });

  test('shows no secrets in its errors', () => {
    class Vault { secret = 'hunter2'; }
    for (const name of ['password', 'privateKey', 'passphrase']) {
      for (const [given, shown] of [[20002, 'type number'], [new Vault(), 'an instance of Vault'], [Object.assign(Object.create(null), { a: 'hunter2' }), 'an object']]) {
        assert.throws(() => make({ [name]: given }), (error) => {
          assert.ok(error.message.endsWith(`Received ${shown}`), error.message);
          return true;
        });
      }
    }
    for (const hostKey of ['-----BEGIN RSA PRIVATE KEY-----\nhunter2', `${' '.repeat(99)}hunter2`]) {
      assert.throws(() => make({ hostKey }), (error) => !error.message.includes('hunter2'));
    }
    const key = Buffer.from('hunter2-key');
    const tunnel = make({ password: 'hunter2', privateKey: key, passphrase: 'hunter2' });
    assert.doesNotMatch(inspect(tunnel, { showHidden: true, depth: 9 }), /hunter2/);
    assert.equal(key.toString(), 'hunter2-key', "the caller's buffer is the caller's");
  });
});

describe('settings', () => {
  test('setLinger() accepts booleans only', () => {
    const tunnel = make({ linger: false });
    const received = [
      [['yes'], `type string ('yes')`], [[], 'undefined'], [[1], 'type number (1)'], [[null], 'null'],
      [[() => {}], 'function'], [[{ l_onoff: 0, l_linger: 0 }], 'an instance of Object'],
    ];
    for (const [args, shown] of received) {
      refuses(() => tunnel.setLinger(...args), type, `The "linger" argument must be of type boolean. Received ${shown}`);
    }
    for (const callback of [5, null, {}, 'cb']) {
      assert.throws(() => tunnel.setLinger(true, callback), (error) => {
        assert.equal(error.code, 'ERR_INVALID_ARG_TYPE');
        assert.match(error.message, /^The "callback" argument must be of type function\. Received /);
        return true;
      });
    }
    assert.equal(tunnel.getLinger(), false);
  });

  test('setLingerOption() accepts two unsigned 16-bit integers', () => {
    const tunnel = make();
    const before = tunnel.getLingerOption();
    for (const bad of [undefined, null, true, 5, 'x', []]) assert.throws(() => tunnel.setLingerOption(bad), type);
    for (const name of ['l_onoff', 'l_linger']) {
      for (const bad of [true, '1', undefined, null]) {
        assert.throws(() => tunnel.setLingerOption({ l_onoff: 0, l_linger: 0, [name]: bad }), (error) => {
          assert.equal(error.code, 'ERR_INVALID_ARG_TYPE');
          assert.ok(error.message.includes(`"value.${name}" property`), error.message);
          return true;
        });
      }
      for (const bad of [NaN, -1, 65536, 1.5]) {
        assert.throws(() => tunnel.setLingerOption({ l_onoff: 0, l_linger: 0, [name]: bad }), (error) => {
          assert.equal(error.code, 'ERR_OUT_OF_RANGE');
          assert.ok(error.message.includes(`"value.${name}"`) && error.message.endsWith(`Received ${bad}`), error.message);
          return true;
        });
      }
    }
    assert.deepEqual(tunnel.getLingerOption(), before);
    for (const l_onoff of [0, 1, 65535]) {
      for (const l_linger of [0, 1, 65535]) {
        tunnel.setLingerOption({ l_onoff, l_linger });
        assert.deepEqual(tunnel.getLingerOption(), { l_onoff, l_linger });
        assert.equal(tunnel.getLinger(), l_onoff === 0 || l_linger !== 0, 'false for a hard close only');
      }
    }
  });

  test('setKeepAlive() and setIdleTimeout() check their arguments', () => {
    const tunnel = make();
    assert.throws(() => tunnel.setKeepAlive(1), type);
    assert.throws(() => tunnel.setIdleTimeout('1'), type);
    for (const bad of [-1, 1.5, NaN, 2 ** 31]) assert.throws(() => tunnel.setIdleTimeout(bad), range);
    assert.equal(tunnel.getKeepAlive(), false);
    assert.equal(tunnel.getIdleTimeout(), 0);
  });
});

test('every method rejects a callback that is not a function, before it has any effect', () => {
  const tunnel = make();
  const calls = {
    getLinger: [], setLinger: [false], getLingerOption: [], setLingerOption: [{ l_onoff: 1, l_linger: 0 }],
    getKeepAlive: [], setKeepAlive: [true], getIdleTimeout: [], setIdleTimeout: [5], connect: [{}], startListening: [{}],
    stopListening: [], disconnect: [1], shutdown: [{}], close: [{}], connections: [],
  };
  for (const [name, args] of Object.entries(calls)) {
    for (const callback of [null, 5, 'cb', {}]) assert.throws(() => tunnel[name](...args, callback), type, name);
  }
  assert.deepEqual([tunnel.getLinger(), tunnel.getKeepAlive(), tunnel.getIdleTimeout()], [true, false, 0]);
});

test('operations check their arguments', async () => {
  const tunnel = make();
  for (const bad of [undefined, '1', null]) assert.throws(() => tunnel.disconnect(bad), type);
  for (const bad of [0, -1, 1.5, NaN]) assert.throws(() => tunnel.disconnect(bad), range);
  assert.throws(() => tunnel.close({ timeout: -1 }, () => {}), range);
  assert.throws(() => tunnel.close(5, () => {}), type);
  await assert.rejects(tunnel.close({ timeout: 'x' }), { ...type, message: 'The "options.timeout" property must be of type number. Received type string (\'x\')' });
  await assert.rejects(tunnel.close(null), type);
  for (const bad of [null, 5, 'force', { force: 1 }, { force: null }]) {
    assert.throws(() => tunnel.shutdown(bad), type);
    assert.throws(() => tunnel.shutdown(bad, () => {}), type);
    await assert.rejects(tunnel.promises.shutdown(bad), type);
  }
});

test('promise forms reject invalid arguments', async () => {
  const { promises } = make();
  await assert.rejects(promises.setLinger('yes'), type);
  await assert.rejects(promises.setLinger(), type);
  await assert.rejects(promises.setIdleTimeout(-1), range);
  await assert.rejects(promises.close(() => {}), type);
  assert.equal(await promises.getLinger(), true);
});
