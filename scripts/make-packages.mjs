// `npm run packages`: the packages that hold the binaries, as folders in npm/, and the SBOM of the package without binaries
// in the repository's own folder. They are made anew for each release and are not kept: all that is in them comes from
// package.json, Cargo.lock and THIRD-PARTY-NOTICES.txt. Their binaries are put there by `npm run artifacts`.

import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

import { NapiCli } from '@napi-rs/cli';

import { NOTICES, SBOM, platforms, readManifest, replaceFile } from './packages.mjs';
import { sboms, text } from './sbom.mjs';
import { ROOT } from './setup.mjs';

const hasCargo = () => spawnSync('cargo', ['--version'], { cwd: ROOT, stdio: 'ignore' }).status === 0;

/** The SBOM of each package: made by cargo or, where there is none, those of `npm run sbom`. Null without either. */
function documents() {
  if (hasCargo()) return Object.fromEntries(Object.entries(sboms()).map(([name, document]) => [name, text(document)]));
  const files = [readManifest().name, ...platforms().map((one) => one.package)].map((name) => [
    name,
    join(ROOT, 'sbom', `${name}.cdx.json`),
  ]);
  if (!files.every(([, file]) => existsSync(file))) return null;
  return Object.fromEntries(files.map(([name, file]) => [name, readFileSync(file, 'utf8')]));
}

/**
 * Makes the folders of all packages in `folder`, without their binaries.
 * @returns {Promise<boolean>} whether they have their SBOMs
 */
export async function makePackages(folder = join(ROOT, 'npm')) {
  await new NapiCli().createNpmDirs({ cwd: ROOT, npmDir: relative(ROOT, folder) });
  const made = documents();
  for (const { name, package: title } of platforms()) {
    for (const file of ['LICENSE', NOTICES]) copyFileSync(join(ROOT, file), join(folder, name, file));
    if (made !== null) writeFileSync(join(folder, name, SBOM), made[title]);
    // What npm takes along by itself is LICENSE alone.
    const manifest = readManifest(join(folder, name));
    manifest.files.push(NOTICES, SBOM);
    writeFileSync(join(folder, name, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  }
  if (made === null)
    rmSync(join(ROOT, SBOM), { force: true }); // an old one would be wrong
  else replaceFile(ROOT, SBOM, made[readManifest().name]);
  return made !== null;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (!(await makePackages()))
    console.error('Neither cargo nor the files of npm run sbom are here: the packages lack SBOMs.');
  console.log(
    platforms()
      .map((one) => `${one.package} (${one.target})`)
      .join('\n'),
  );
}
