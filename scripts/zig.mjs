// Zig, the C compiler and the linker for Linux: it has the headers of both C libraries for both processors, and links to a
// glibc as old as wanted, where the machine's own compiler would ask for the machine's. The cross toolchain of napi-rs
// (--use-napi-cross) cannot build aws-lc: its gcc 4.8 has no <stdatomic.h>.

import { existsSync, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';

import { TOOLS, installPython, run } from './pinned.mjs';
import { ROOT } from './setup.mjs';

const CARGO_ZIGBUILD = 'cargo-zigbuild 0.24.0';
const LIBRARIES = join(TOOLS, 'lib');

/** The program zig of the package ziglang, which is below a folder with Python's version in its name. */
function findZig() {
  const pythons = existsSync(LIBRARIES) ? readdirSync(LIBRARIES) : [];
  const paths = pythons.map((name) => join(LIBRARIES, name, 'site-packages', 'ziglang', 'zig'));
  return paths.find((path) => existsSync(path));
}

const isInstalled = () =>
  findZig() !== undefined &&
  run(join(TOOLS, 'bin', 'cargo-zigbuild'), ['--version'], 'pipe').stdout?.trim() === CARGO_ZIGBUILD;

/**
 * The variables with which `napi build --cross-compile` builds by Zig, which is installed if it is not there. Returns null
 * where it cannot be had.
 */
export function zigEnvironment() {
  if (!isInstalled() && !(installPython('zig.txt') && isInstalled())) return null;
  return {
    CARGO: join(ROOT, 'scripts', 'zig-cargo.sh'),
    CARGO_ZIGBUILD_ZIG_PATH: findZig(),
    PATH: [join(TOOLS, 'bin'), process.env.PATH].join(delimiter),
  };
}
