// A binary as a file: what can be seen of it without its platform.

import { glibc, madeFor } from '../packages.mjs';
import { exportedNames, loadCommands } from './exports.mjs';

/** The function by which Node.js loads an addon. */
const ENTRY = 'napi_register_module_v1';

/** Load commands of Mach-O. */
const CODE_SIGNATURE = 0x1d;
const BUILD_VERSION = 0x32;

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
  if (!exportedNames(bytes, platform).includes(ENTRY)) throw new Error(`it does not export ${ENTRY}`);
  const found = [`${(bytes.length / 2 ** 20).toFixed(1)} MiB`];
  const version = platform === 'linux' ? glibc(bytes) : undefined;
  if (version !== undefined) found.push(`glibc ${version.join('.')}`);
  if (platform === 'darwin') found.push(...inspectMacos(bytes, arch));
  return found;
}
