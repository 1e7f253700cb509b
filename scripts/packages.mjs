// The packages that hold the binaries, one for each of `napi.targets` in package.json, and what their binaries have to be.

import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';

import { parseTriple } from '@napi-rs/cli';

import { ROOT } from './setup.mjs';

/** A release build comes to 5 MiB, one without optimization to many times as much. */
const LARGEST_BINARY = 7 * 2 ** 20;

/** The licenses of what is in the binaries; `npm run notices` makes it. */
export const NOTICES = 'THIRD-PARTY-NOTICES.txt';

/** What is in a package, as CycloneDX; `npm run packages` puts it there. */
export const SBOM = 'sbom.cdx.json';

/** A path of a source file as it was on the machine that built a binary, its user's name in it perhaps. */
const BUILDERS_PATH = /(?:\/(?:home|root|Users|work|builds?)\/|\b[A-Z]:\\)[\w.@+\\/ -]+\.(?:rs|c|h|S|cc)\b/;

/** The oldest glibc on which the oldest Node.js that is supported runs, and so the binaries have to. */
const OLDEST_GLIBC = [2, 28];

/** Processors as the formats of executables number them. */
const ELF = { 62: 'x64', 183: 'arm64' };
const MACH_O = { 0x01000007: 'x64', 0x0100000c: 'arm64' };
const PE = { 0x8664: 'x64', 0xaa64: 'arm64' };

/**
 * Writes a text into a file below `root` that others may read or pack meanwhile: an unfinished one is in `root` itself, which
 * no pattern of package.json matches.
 */
export function replaceFile(root, path, text) {
  const file = join(root, path);
  if (existsSync(file) && readFileSync(file, 'utf8') === text) return;
  const unfinished = join(root, `.${basename(path)}.${process.pid}`);
  writeFileSync(unfinished, text);
  renameSync(unfinished, file);
}

export const readManifest = (folder = ROOT) => JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));

/** What there are packages for: each target with its name, system, processor, C library and binary. */
export function platforms() {
  const { name, napi } = readManifest();
  return napi.targets.map((target) => {
    const { platformArchABI, platform, arch, abi } = parseTriple(target);
    return {
      target,
      platform,
      arch,
      abi,
      name: platformArchABI,
      package: `${name}-${platformArchABI}`,
      binary: `${napi.binaryName}.${platformArchABI}.node`,
    };
  });
}

/** Whether a platform is that of this process, the C library included. */
export function isOwn({ platform, arch, abi }) {
  if (platform !== process.platform || arch !== process.arch) return false;
  if (platform !== 'linux') return true;
  const { glibcVersionRuntime } = process.report.getReport().header;
  return abi === (glibcVersionRuntime === undefined ? 'musl' : 'gnu');
}

/** What an executable is made for: `{ platform, arch }`, or null for anything else. */
export function madeFor(bytes) {
  if (bytes.length < 64) return null;
  if (bytes.readUInt32BE(0) === 0x7f454c46) return { platform: 'linux', arch: ELF[bytes.readUInt16LE(18)] };
  if (bytes.readUInt32LE(0) === 0xfeedfacf) return { platform: 'darwin', arch: MACH_O[bytes.readUInt32LE(4)] };
  if (bytes.readUInt16BE(0) !== 0x4d5a) return null;
  const header = bytes.readUInt32LE(60);
  return { platform: 'win32', arch: PE[bytes.readUInt16LE(header + 4)] };
}

/** The newest glibc that an executable asks for, as [major, minor]; undefined if it asks for none. */
export function glibc(bytes) {
  const asked = bytes.toString('latin1').matchAll(/GLIBC_(\d+)\.(\d+)/g);
  const versions = Array.from(asked, ([, major, minor]) => [Number(major), Number(minor)]);
  return versions.sort(compare).at(-1);
}

const compare = ([major, minor], [otherMajor, otherMinor]) => major - otherMajor || minor - otherMinor;

/** What is wrong with a binary as that of a platform, in words that follow its name. */
export function faults(bytes, { platform, arch }) {
  const made = madeFor(bytes);
  if (made === null) return ['is no executable'];
  const found = [];
  if (made.platform !== platform || made.arch !== arch) found.push(`is for ${made.platform} ${made.arch}`);
  if (bytes.length > LARGEST_BINARY)
    found.push(`has ${bytes.length} bytes, more than ${LARGEST_BINARY}: no release build?`);
  const [path] = BUILDERS_PATH.exec(bytes.toString('latin1')) ?? [];
  if (path !== undefined) found.push(`names a file of the machine that built it, ${path}`);
  return found;
}

/** Likewise with its C library, which depends on the machine that it was built on. */
export function libcFaults(bytes, { abi }) {
  const asked = glibc(bytes);
  if (abi === 'musl') return asked === undefined ? [] : ['asks for glibc'];
  if (abi !== 'gnu') return [];
  if (asked === undefined) return ['asks for no glibc'];
  return compare(asked, OLDEST_GLIBC) > 0
    ? [`asks for glibc ${asked.join('.')}, newer than ${OLDEST_GLIBC.join('.')}`]
    : [];
}
