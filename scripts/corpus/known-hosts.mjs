// Files of known hosts: whether there is a key for a host, as `ssh-keygen -F` says. Here a session with a key that is in
// no file says it: the host is unknown, or its key has changed.

import { spawnSync } from 'node:child_process';
import net from 'node:net';

import { SSHTunnel } from '../../index.js';
import { findProgram } from '../../__test__/helpers/ensure-sshd.mjs';
import { temporaryFolder } from '../../__test__/helpers/keys.mjs';
import { Ssh2Server } from '../../__test__/helpers/ssh2-server.mjs';

/** Names of one file that are looked up. */
const MAX_NAMES = 50;
const LINE = /^(?:@\S+ +)?\S+ +(?:ssh-|ecdsa-sha2-|sk-)\S+ +AAAA/m;
const STRANGER = 'no-such-host.example';
const kind = 'known hosts';

/** The names in a file that are no patterns and not hashed. */
function names(text) {
  const found = new Set([STRANGER]);
  for (const line of text.split('\n')) {
    if (/^\s*(?:#|$)/.test(line)) continue;
    const [first, second = ''] = line.trim().split(/\s+/);
    for (const name of (first.startsWith('@') ? second : first).split(',')) {
      if (/^[\w.:[\]-]+$/.test(name) && found.size < MAX_NAMES) found.add(name);
    }
  }
  return found;
}

export class KnownHosts {
  #folder = temporaryFolder('corpus-known-hosts');
  #server;

  async *check(file, bytes) {
    const text = bytes.toString('latin1');
    if (file.endsWith('.pub') || !(LINE.test(text) && /known_?hosts/.test(file))) return;
    this.#server ??= await Ssh2Server.start();
    const copy = this.#folder.write(bytes);
    for (const name of names(text)) yield { kind, what: name, ...(await this.#compare(copy, name)) };
  }

  async #compare(file, name) {
    const theirs = lookUp(file, name);
    const ours = await this.#ask(file, name);
    if (ours.damaged !== undefined) {
      return { result: 'policy', reason: 'an unreadable line that may be about the host is an error' };
    }
    if (ours.skipped) return { result: 'policy', reason: 'names that no host can have are refused' };
    const expected = theirs.length > 0 ? 'changed' : 'unknown';
    if (ours.reason === expected && (expected === 'unknown' || theirs.includes(ours.line))) return { result: 'same' };
    const lines = theirs.length > 0 ? `lines ${theirs.join(', ')}` : 'no line';
    return { result: 'different', reason: `ssh-keygen: ${lines}; here: ${ours.reason}, line ${ours.line ?? '-'}` };
  }

  /** What a session says of the host. */
  async #ask(file, name) {
    const [, host = name, port = '22'] = /^\[(.*)\]:(\d+)$/.exec(name) ?? [];
    let tunnel;
    try {
      tunnel = new SSHTunnel({
        host,
        port: Number(port),
        username: 'nobody',
        knownHosts: file,
        sock: net.connect(this.#server.port, '127.0.0.1'),
        forwardHost: 'target',
        forwardPort: 1,
      });
    } catch (error) {
      return { skipped: error.code };
    }
    try {
      await tunnel.promises.connect();
      return { reason: 'trusted' };
    } catch (error) {
      const [, damaged] = /cannot read the known hosts file .*, line (\d+)/.exec(error.message) ?? [];
      return { ...error.hostKey, reason: error.hostKey?.reason ?? error.message, damaged };
    } finally {
      await tunnel.promises.shutdown();
    }
  }

  async stop() {
    this.#folder.remove();
    await this.#server?.stop();
  }
}

/** The lines with a key of the host, without authorities and revoked keys. */
function lookUp(file, name) {
  const { stdout } = spawnSync(findProgram('ssh-keygen'), ['-F', name, '-f', file], { encoding: 'utf8' });
  return [...stdout.matchAll(/^# Host .* found: line (\d+) *$/gm)].map(([, line]) => Number(line));
}
