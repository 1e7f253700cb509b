// Runs before `npm publish`: ends with exit code 1 where something is not as docs/releasing.md says.
// What is published cannot be taken back, and a package without one of its binaries would be published
// without a word.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { NOTICES, SBOM, faults, libcFaults, platforms, readManifest } from './packages.mjs';
import { ROOT } from './setup.mjs';

/**
 * What is in the way of a release.
 * @param folder the repository, with the packages in npm/
 * @param tag the tag that the release is made of
 */
export function obstacles(folder, tag) {
  const { version, repository } = readManifest(folder);
  const read = (name) => readFileSync(join(folder, name), 'utf8');
  const found = [];
  if (tag !== `v${version}`) found.push(`package.json has version ${version}, the tag is ${tag ?? 'missing'}`);
  const crate = read('Cargo.toml').match(/^\[workspace\.package\]\nversion = "(.*)"$/m)?.[1];
  if (crate !== version) found.push(`Cargo.toml has version ${crate}, package.json ${version}`);
  const [heading] = read('CHANGELOG.md').match(/^## .*$/m) ?? [];
  if (heading !== `## ${version}`) found.push(`CHANGELOG.md begins with "${heading}", not with "## ${version}"`);
  // The registry compares it with where the build ran.
  if (repository === undefined)
    found.push('package.json has no repository: npm refuses to state where the packages were built');
  found.push(...without(folder, readManifest(folder).name));
  for (const platform of platforms()) found.push(...missing(join(folder, 'npm', platform.name), platform, version));
  return found;
}

/** The files about what is in a package that it lacks. */
const without = (folder, name) =>
  [NOTICES, SBOM].filter((file) => !existsSync(join(folder, file))).map((file) => `${name} has no ${file}`);

function missing(folder, platform, version) {
  const binary = join(folder, platform.binary);
  if (!existsSync(binary)) return [`${platform.package} has no binary`];
  const bytes = readFileSync(binary);
  const found = [...faults(bytes, platform), ...libcFaults(bytes, platform)].map(
    (fault) => `${platform.binary} ${fault}`,
  );
  found.push(...without(folder, platform.package));
  const manifest = readManifest(folder);
  if (manifest.version !== version) found.push(`${platform.package} has version ${manifest.version}`);
  return found;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const found = obstacles(ROOT, process.env.GITHUB_REF_NAME);
  for (const obstacle of found) console.error(`This may not be published: ${obstacle}`);
  process.exit(found.length > 0 ? 1 : 0);
}
