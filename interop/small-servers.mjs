// tinyssh from Debian, and a server of this folder that uses Debian's libssh.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { ensureDebian, ensurePackages, findProgram } from '../__test__/helpers/ensure-sshd.mjs';
import { BEHAVIORS } from './behaviors.mjs';
import { Inetd, makeHome, startProgram } from './programs.mjs';

/** The upstream version of an installed Debian package. */
function packageVersion(name) {
  const { stdout } = spawnSync('dpkg-query', ['-W', '-f', '${Version}', name], { encoding: 'utf8' });
  return stdout.replace(/^\d+:|[-+].*$/g, '');
}

/** The folder for temporary builds. */
const BUILT = fileURLToPath(new URL('../target/interop', import.meta.url));

/** Whether others may write neither to a folder nor to one above it, as tinyssh wants of a home: a clone may be in /tmp. */
function isSafe(folder) {
  const above = dirname(folder);
  return (statSync(folder).mode & 0o022) === 0 && (above === folder || isSafe(above));
}

export const tinyssh = {
  name: 'tinyssh',
  optional: true,
  version: () => packageVersion('tinysshd'),
  available: () => ensurePackages(['tinysshd'], ['tinysshd', 'libnss-wrapper']),
  lacks: Object.fromEntries(Object.keys(BEHAVIORS).map((name) => [name, 'it forwards nothing'])),
  async start({ hostKeys, userKeys }) {
    mkdirSync(BUILT, { recursive: true });
    const { env, username, at, remove } = makeHome('tinyssh', userKeys, [BUILT, homedir()].find(isSafe) ?? BUILT);
    const { privateKey } = hostKeys.find(({ type }) => type === 'ed25519');
    // The last string of 64 bytes in the key's text: the secret half, then the public one.
    const bytes = Buffer.from(privateKey.replace(/-----[^-]+-----|\s/g, ''), 'base64');
    const secret = bytes.subarray(bytes.lastIndexOf('\0\0\0@', undefined, 'latin1') + 4).subarray(0, 64);
    mkdirSync(at('keys'), { mode: 0o700 });
    writeFileSync(at('keys/.ed25519.sk'), secret, { mode: 0o600 });
    writeFileSync(at('keys/ed25519.pk'), secret.subarray(32));
    const inetd = new Inetd();
    const port = await inetd.serve(findProgram('tinysshd'), ['-v', at('keys')], env);
    const stop = async () => {
      await inetd.stop();
      remove();
    };
    return { ports: [port], username, forwards: false, userKeyTypes: ['ed25519'], kill: inetd.kill, stop };
  },
};

const SOURCE = fileURLToPath(new URL('libssh_server.c', import.meta.url));

export const libssh = {
  name: 'libssh',
  optional: true,
  version: () => packageVersion('libssh-dev'),
  available() {
    const isThere = () => findProgram('cc') !== null && existsSync('/usr/include/libssh/server.h');
    if (!ensureDebian('libssh for C', isThere, ['gcc', 'libc6-dev', 'libssh-dev'])) return false;
    mkdirSync(BUILT, { recursive: true });
    const args = ['-O1', '-Wall', '-Wno-deprecated-declarations', '-o', join(BUILT, 'libssh_server'), SOURCE, '-lssh'];
    return spawnSync(findProgram('cc'), args, { stdio: 'inherit' }).status === 0;
  },
  start({ hostKeys, ...identities }) {
    // It can have only one ecdsa key.
    const first = hostKeys.filter(({ type }, index) => hostKeys.findIndex((other) => other.type === type) === index);
    return startProgram('libssh', [join(BUILT, 'libssh_server')], { ...identities, hostKeys: first });
  },
};
