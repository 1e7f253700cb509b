// The crates whose code is in the binaries, as cargo knows them: neither what only builds them nor what only
// tests them.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { platforms } from './packages.mjs';
import { ROOT } from './setup.mjs';

const PACKAGE = 'sshtunnel-native';

function cargo(...args) {
  return execFileSync('cargo', args, { cwd: ROOT, encoding: 'utf8', maxBuffer: 2 ** 28 });
}

/** The digests of Cargo.lock, by name and version. */
function checksums() {
  const blocks = readFileSync(join(ROOT, 'Cargo.lock'), 'utf8').split('[[package]]');
  const field = (block, name) => new RegExp(`^${name} = "(.*)"$`, 'm').exec(block)?.[1];
  return new Map(
    blocks.map((block) => [`${field(block, 'name')} ${field(block, 'version')}`, field(block, 'checksum')]),
  );
}

/** Names and versions of what is linked for a target: one line of `cargo tree` each. */
function linked(target) {
  const tree = cargo(
    'tree',
    '--locked',
    '--package',
    PACKAGE,
    '--target',
    target,
    '--edges',
    'normal,no-proc-macro',
    '--prefix',
    'none',
    '--format',
    '{p}',
  );
  return new Set(
    tree
      .split('\n')
      .filter(Boolean)
      .map((line) => line.replace(/^(\S+) v(\S+).*$/, '$1 $2')),
  );
}

/**
 * All crates of other people in any of the binaries, by name.
 * @returns {{ id: string, name: string, version: string, license: string, repository?: string, checksum: string, folder: string,
 *   targets: string[], direct: boolean, dependencies: string[] }[]} targets: those whose binaries have it; direct: whether our
 *   own code uses it; dependencies: ids of others in this list
 */
export function crates() {
  const digests = checksums();
  const byTarget = platforms().map(({ target }) => [target, linked(target)]);
  const { packages, resolve } = JSON.parse(cargo('metadata', '--locked', '--format-version', '1'));
  const idOf = ({ name, version }) => `${name} ${version}`;
  const names = new Map(packages.map((one) => [one.id, idOf(one)]));
  const isLinked = (id) => byTarget.some(([, ids]) => ids.has(id));
  const nodes = new Map(resolve.nodes.map((node) => [names.get(node.id), node]));
  const own = packages
    .filter((one) => one.source === null && isLinked(idOf(one)))
    .flatMap((one) => nodes.get(idOf(one)).dependencies);
  const direct = new Set(own.map((id) => names.get(id)));
  const others = packages.filter((one) => one.source !== null && isLinked(idOf(one)));
  return others
    .map((one) => ({
      id: idOf(one),
      name: one.name,
      version: one.version,
      license: one.license,
      repository: one.repository ?? undefined,
      checksum: digests.get(idOf(one)),
      folder: dirname(one.manifest_path),
      targets: byTarget.filter(([, ids]) => ids.has(idOf(one))).map(([target]) => target),
      direct: direct.has(idOf(one)),
      dependencies: nodes
        .get(idOf(one))
        .dependencies.map((id) => names.get(id))
        .filter(isLinked)
        .sort(),
    }))
    .sort((one, other) => (one.id < other.id ? -1 : 1));
}
