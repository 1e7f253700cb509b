// A binary as a file: what can be seen of it without its platform.

import { glibc, madeFor } from '../packages.mjs';

/** The function by which Node.js loads an addon. */
const ENTRY = 'napi_register_module_v1';

/** Load commands of Mach-O. */
const CODE_SIGNATURE = 0x1d;
const BUILD_VERSION = 0x32;

/** The load commands of an executable of macOS, as [number, content]. */
function loadCommands(bytes) {
  const commands = [];
  let at = 32;
  for (let left = bytes.readUInt32LE(16); left > 0; left--) {
    const size = bytes.readUInt32LE(at + 4);
    commands.push([bytes.readUInt32LE(at), bytes.subarray(at, at + size)]);
    at += size;
  }
  return new Map(commands);
}

function inspectMacos(bytes, arch) {
  const commands = loadCommands(bytes);
  const version = commands.get(BUILD_VERSION)?.readUInt32LE(12) ?? 0;
  const signed = commands.has(CODE_SIGNATURE);
  // Only arm64 refuses code without a signature.
  if (arch === 'arm64' && !signed) throw new Error('no code signature');
  return [`macOS ${version >>> 16}.${(version >>> 8) & 0xff}`, signed ? 'signed ad hoc' : 'not signed'];
}

/**
 * What a binary is, as a list of words. Throws if it is for another platform, or no addon.
 * @param {Buffer} bytes
 * @param {{ platform: string, arch: string }} expected
 */
export function inspect(bytes, { platform, arch }) {
  const made = madeFor(bytes);
  if (made?.platform !== platform || made.arch !== arch) throw new Error(`for ${made?.platform} ${made?.arch}`);
  if (!bytes.includes(ENTRY)) throw new Error(`no ${ENTRY}`);
  const found = [`${(bytes.length / 2 ** 20).toFixed(1)} MiB`];
  const version = platform === 'linux' ? glibc(bytes) : undefined;
  if (version !== undefined) found.push(`glibc ${version.join('.')}`);
  if (platform === 'darwin') found.push(...inspectMacos(bytes, arch));
  return found;
}
