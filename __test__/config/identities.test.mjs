// The keys, certificates and agent's keys that fromConfig takes from ssh_config files.

import assert from 'node:assert/strict';
import { chmodSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { keygen, makeKey, temporaryFolder } from '../helpers/keys.mjs';
import { configureIn, contextIn } from '../helpers/ssh-config.mjs';
import { assertIncludes } from '../helpers/tunnels.mjs';

const USER = userInfo().username;
const folder = temporaryFolder('identities');
after(folder.remove);
const { at } = folder;
const configure = configureIn(folder);
const contextAt = (name) => contextIn(folder, name);

test('existing usable keys are read, others are in configNotices', () => {
  const context = contextAt('keys');
  const key = (name, options) => makeKey(join(context.userFolder, name), options);
  const ed = key('id_ed25519');
  const rsa = key('id_rsa', { type: 'rsa' });
  const locked = key('id_ecdsa', { type: 'ecdsa', passphrase: 'secret' });
  const read = (text = '', overrides = {}) => {
    writeFileSync(context.userFile, text);
    const { options, notices } = configure('', overrides, 'h', context);
    return { keys: [options.privateKey ?? []].flat().map(({ key }) => String(key)), options, notices };
  };
  const usual = read();
  assert.deepEqual(usual.keys, [rsa.privateKey, ed.privateKey]);
  assert.equal(usual.notices.length, 1);
  assertIncludes(usual.notices[0], { option: 'IdentityFile', value: '~/.ssh/id_ecdsa', host: 'h', file: undefined, line: undefined });
  assert.match(usual.notices[0].reason, /encrypted and there is no passphrase; the option 'passphrase' would decrypt it/);

  const opened = read('', { passphrase: 'secret' });
  assert.deepEqual(opened.keys, [rsa.privateKey, locked.privateKey, ed.privateKey]);
  assert.deepEqual(opened.notices, []);
  const other = read('', { passphrase: 'other' });
  assert.deepEqual(other.keys, [rsa.privateKey, ed.privateKey]);
  assert.match(other.notices[0].reason, /passphrase of the private key is wrong/);

  const named = read('IdentityFile ~/.ssh/missing\nIdentityFile %d/.ssh/id_ed25519\nIdentityFile none\n');
  assert.deepEqual([named.keys, named.notices], [[ed.privateKey], []]);
  assert.deepEqual(read('IdentityFile none').keys, []);
  writeFileSync(join(context.userFolder, 'junk'), 'junk', { mode: 0o600 });
  chmodSync(rsa.file, 0o640);
  const bad = read('IdentityFile ~/.ssh/junk\nIdentityFile ~/.ssh/id_rsa\nIdentityFile ~/.ssh\n');
  assert.deepEqual(bad.keys, []);
  assert.deepEqual(bad.notices.map(({ line }) => line), [1, 2, 3]);
  assert.match(bad.notices[1].reason, /other users can read it/);
  chmodSync(rsa.file, 0o600);

  // With IdentitiesOnly, the agent is asked for these keys, also for keys that only it can use.
  const only = read('IdentitiesOnly yes\nIdentityAgent /agent\nIdentityFile ~/.ssh/id_ecdsa\nIdentityFile ~/.ssh/id_rsa.pub\n');
  assert.deepEqual(only.options.agentKeys, [locked, rsa].map(({ publicKey }) => publicKey.split(' ').slice(0, 2).join(' ')));
  assert.deepEqual([only.keys, only.options.agent, only.notices.length], [[], '/agent', 1]);
  assert.equal(read('IdentitiesOnly yes\nIdentityAgent /agent\nIdentityFile none\n').options.agent, undefined);
  assert.equal(read('IdentityAgent /agent\n').options.agentKeys, undefined);
  // Given keys are the only ones.
  const given = read('IdentityFile ~/.ssh/id_ed25519', { privateKey: 'text' });
  assert.equal(given.options.privateKey, 'text');
});

test('certificates of keys are read', () => {
  const context = contextAt('certificates');
  const authority = makeKey(at('user-authority'));
  const [one, two] = ['one', 'two'].map((name) => makeKey(join(context.userFolder, name)));
  const certify = ({ file }, id) => {
    keygen('-q', '-s', authority.file, '-I', id, '-n', USER, `${file}.pub`);
    return readFileSync(`${file}-cert.pub`, 'utf8').split(' ').slice(0, 2).join(' ');
  };
  const first = certify(one, 'first');
  writeFileSync(join(context.userFolder, 'first'), first);
  const second = certify(one, 'second');
  const read = (text) => {
    writeFileSync(context.userFile, text);
    const { options, notices } = configure('', {}, 'h', context);
    return { certificates: options.privateKey.map(({ certificate }) => certificate), notices };
  };
  assert.deepEqual(read('IdentityFile ~/.ssh/one\nIdentityFile ~/.ssh/two\n'), { certificates: [second, undefined], notices: [] });
  const named = read('IdentityFile ~/.ssh/one\nCertificateFile ~/.ssh/first\nCertificateFile ~/.ssh/one-cert.pub\n');
  assert.deepEqual(named, { certificates: [first, second], notices: [] });
  const stray = read(`IdentityFile ~/.ssh/two\nCertificateFile ~/.ssh/first\nCertificateFile ~/.ssh/none\nCertificateFile ${two.file}.pub\n`);
  assert.deepEqual(stray.certificates, [undefined]);
  assert.deepEqual(stray.notices.map(({ line }) => line).sort(), [2, 3, 4]);
});

test('agents are looked up as ssh does', () => {
  const context = { ...contextAt('agents'), variables: { SSH_AUTH_SOCK: '/usual', OTHER: '/other' } };
  const agent = (text) => {
    writeFileSync(context.userFile, text);
    return configure('', {}, 'h', context).options.agent;
  };
  for (const [text, expected] of [
    ['', '/usual'], ['IdentityAgent SSH_AUTH_SOCK', '/usual'], ['IdentityAgent none', undefined], ['IdentityAgent $OTHER', '/other'],
    ['IdentityAgent ${OTHER}/%u', `/other/${USER}`], ['IdentityAgent ~/a', join(context.home, 'a')], ['IdentityAgent $MISSING', undefined],
  ]) assert.equal(agent(text), expected, text);
});

test('keys of the agent that IdentityFile names come first, with their certificates', () => {
  const context = { ...contextAt('agent-keys'), variables: { SSH_AUTH_SOCK: '/usual' } };
  const words = (text) => text.split(' ').slice(0, 2).join(' ');
  const authority = makeKey(at('agent-authority'));
  const make = (name, options) => {
    const key = makeKey(join(context.userFolder, name), options);
    return { ...key, publicKey: words(key.publicKey) };
  };
  const certify = ({ file }, ...more) => {
    keygen('-q', '-s', authority.file, '-I', 'id', '-n', USER, ...more, `${file}.pub`);
    return words(readFileSync(`${file}-cert.pub`, 'utf8'));
  };
  const read = (text) => {
    writeFileSync(context.userFile, text);
    const { options, notices } = configure('', {}, 'h', context);
    const { privateKey, agentKeys, agentKeysFirst, authHandler } = options;
    return { certificates: [privateKey ?? []].flat().map(({ certificate }) => certificate), agentKeys, agentKeysFirst, authHandler, notices };
  };
  assert.equal(read('').agentKeysFirst, undefined);

  // An encrypted key in a format with a public half, one without, and one that is not there.
  const locked = make('id_ed25519', { passphrase: 'secret' });
  assert.deepEqual(read('').agentKeysFirst, [locked.publicKey]);
  const pem = make('pem', { type: 'rsa', format: 'PEM', passphrase: 'secret' });
  const gone = make('gone');
  rmSync(gone.file);
  const files = 'IdentityFile ~/.ssh/pem\nIdentityFile ~/.ssh/gone\n';
  assert.deepEqual(read(files).agentKeysFirst, [pem.publicKey, gone.publicKey]);
  assert.deepEqual(read(`${files}IdentitiesOnly yes\n`).agentKeys, [pem.publicKey, gone.publicKey]);

  // Public keys with a comment before them, readable by all, or in UTF-16.
  for (const text of [Buffer.from(`\ufeff${gone.publicKey}\r\n`, 'utf16le'), `# laptop\n\n${gone.publicKey}\n`]) {
    writeFileSync(`${gone.file}.pub`, text, { mode: 0o644 });
    for (const name of ['gone', 'gone.pub']) {
      const { agentKeysFirst, notices } = read(`IdentityFile ~/.ssh/${name}`);
      assert.deepEqual([agentKeysFirst, notices], [[gone.publicKey], []]);
    }
  }

  // Certificates: of CertificateFile, beside the key, in the place of the public key, and named themselves.
  const certificate = certify(gone);
  const expected = [gone.publicKey, certificate];
  assert.deepEqual(read('IdentityFile ~/.ssh/gone').agentKeysFirst, expected);
  assert.deepEqual(read('IdentityFile ~/.ssh/gone-cert.pub').agentKeysFirst, expected);
  assert.deepEqual(read('IdentityFile ~/.ssh/gone\nCertificateFile ~/.ssh/gone-cert.pub').agentKeysFirst, expected);
  renameSync(`${gone.file}-cert.pub`, `${gone.file}.pub`);
  assert.deepEqual(read('IdentityFile ~/.ssh/gone').agentKeysFirst, expected);
  const alone = read('IdentityFile none\nCertificateFile ~/.ssh/gone.pub');
  assert.deepEqual([alone.agentKeysFirst, alone.notices], [[certificate], []]);
  // A certificate comes before all keys: servers accept few attempts.
  const other = make('other');
  const others = 'IdentityFile ~/.ssh/other\nCertificateFile ~/.ssh/gone.pub';
  assert.deepEqual(read(others).authHandler, ['agent', 'publickey', 'none']);
  assert.deepEqual(read(`${others}\nPreferredAuthentications publickey`).authHandler, ['agent', 'publickey', 'none']);
  assert.deepEqual(read('IdentityFile ~/.ssh/other').authHandler, ['agent', 'publickey', 'none']);
  assert.equal(read('IdentityFile ~/.ssh/gone').authHandler, undefined);
  const only = read(`${others}\nIdentitiesOnly yes`);
  assert.deepEqual([only.agentKeys, only.authHandler], [[other.publicKey], ['agent', 'publickey', 'none']]);
  assert.match(only.notices.map(({ reason }) => reason).join(), /the certificate belongs to no key that is read here/);

  // A private key with a certificate in the place of its public key.
  const open = make('open');
  const own = certify(open);
  renameSync(`${open.file}-cert.pub`, `${open.file}.pub`);
  assert.deepEqual(read('IdentityFile ~/.ssh/open').certificates, [own]);
  const host = certify(make('host'), '-h');
  assert.ok(host);
  const hosts = read('IdentityFile ~/.ssh/host\nCertificateFile ~/.ssh/host-cert.pub');
  assert.deepEqual(hosts.certificates, [undefined]);
  assert.match(hosts.notices[0].reason, /not a user's certificate/);
});

test('a file that is meant as a public key is not read as a private one', () => {
  const context = { ...contextAt('public-files'), variables: { SSH_AUTH_SOCK: '/usual' } };
  const { publicKey } = makeKey(join(context.userFolder, 'key'));
  const read = (name, text) => {
    writeFileSync(join(context.userFolder, name), text, { mode: 0o644 });
    writeFileSync(context.userFile, `IdentityFile ~/.ssh/${name}`);
    return configure('', {}, 'h', context).notices.map(({ reason }) => reason);
  };
  for (const [name, text] of [['empty.pub', ''], ['cut', publicKey.slice(0, 40)], ['old', '---- BEGIN SSH2 PUBLIC KEY ----\n'], ['a.pub', '# only\n']])
    assert.deepEqual(read(name, text), ['it has no public key that can be used'], name);
  assert.match(read('b.pub', '-----BEGIN RSA PRIVATE KEY-----\n')[0], /other users can read it/);
});
