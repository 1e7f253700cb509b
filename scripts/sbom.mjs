// `npm run sbom`: what is in each package, as CycloneDX 1.6: `<package>.cdx.json`. The same source gives the same
// files: there is no time and no random number in them.
//
//   npm run sbom -- [--into <folder, sbom/ by default>]

import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { crates } from './crates.mjs';
import { platforms, readManifest } from './packages.mjs';
import { ROOT } from './setup.mjs';

const npmPackage = (name, { version, license, description }) => ({
  type: 'library',
  'bom-ref': `pkg:npm/${name}@${version}`,
  name,
  version,
  description,
  licenses: [{ license: { id: license } }],
  purl: `pkg:npm/${name}@${version}`,
});

const reference = (id) => `pkg:cargo/${id.replace(' ', '@')}`;

const crate = ({ id, name, version, license, repository, checksum }) => ({
  type: 'library',
  'bom-ref': reference(id),
  name,
  version,
  scope: 'required',
  hashes: [{ alg: 'SHA-256', content: checksum }],
  // Older manifests separate alternatives by a slash, which is no expression of SPDX.
  licenses: [{ expression: license.replaceAll(/ ?\/ ?/g, ' OR ') }],
  purl: reference(id),
  ...(repository === undefined ? {} : { externalReferences: [{ type: 'vcs', url: repository }] }),
});

const bom = (component, components, dependencies) => ({
  bomFormat: 'CycloneDX',
  specVersion: '1.6',
  version: 1,
  metadata: { lifecycles: [{ phase: 'build' }], component },
  components,
  dependencies,
});

/** One document for each package, by its name. */
export function sboms() {
  const manifest = readManifest();
  const all = crates();
  const found = {};
  const main = npmPackage(manifest.name, manifest);
  const binaries = platforms().map((one) => ({ ...npmPackage(one.package, manifest), scope: 'optional' }));
  found[manifest.name] = bom(main, binaries, [
    { ref: main['bom-ref'], dependsOn: binaries.map((one) => one['bom-ref']) },
  ]);
  for (const { package: name, target } of platforms()) {
    const linked = all.filter(({ targets }) => targets.includes(target));
    const ids = new Set(linked.map(({ id }) => id));
    const component = npmPackage(name, manifest);
    found[name] = bom(component, linked.map(crate), [
      { ref: component['bom-ref'], dependsOn: linked.filter(({ direct }) => direct).map(({ id }) => reference(id)) },
      ...linked.map(({ id, dependencies }) => ({
        ref: reference(id),
        dependsOn: dependencies.filter((one) => ids.has(one)).map(reference),
      })),
    ]);
  }
  return found;
}

/** A document as a file. */
export const text = (document) => `${JSON.stringify(document, null, 2)}\n`;

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { into: { type: 'string', default: join(ROOT, 'sbom') } } });
  const into = resolve(values.into);
  mkdirSync(into, { recursive: true });
  for (const [name, document] of Object.entries(sboms())) {
    writeFileSync(join(into, `${name}.cdx.json`), text(document));
    console.log(`${name}.cdx.json: ${document.components.length} components`);
  }
}
