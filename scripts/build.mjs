// `npm run build`: the addon as it is published. Exactly what Cargo.lock says, and without the paths of the
// machine that builds it: they would tell who that is, and make every machine's binary another one.
//
// Zig builds for Linux, so that the binary runs on every glibc since 2.28. Where Zig cannot be had, the machine's own
// compiler does, and the binary needs the machine's glibc.
//
//   npm run build -- [--target <target>]

import { execFileSync } from 'node:child_process';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { ROOT } from './setup.mjs';
import { zigEnvironment } from './zig.mjs';

/** Between the flags of CARGO_ENCODED_RUSTFLAGS, which may have spaces. */
const SEPARATOR = '\x1f';

/**
 * What the compiler puts in place of folders; the last folder that matches counts.
 * @param {{ root?: string, home?: string, cargoHome?: string, sysroot?: string }} [folders]
 */
export function remapping({
  root = ROOT.replace(/[\\/]$/, ''),
  home = homedir(),
  cargoHome = process.env.CARGO_HOME ?? join(home, '.cargo'),
  sysroot = execFileSync('rustc', ['--print', 'sysroot'], { encoding: 'utf8' }).trim(),
} = {}) {
  const places = [
    [home, '/home'],
    [sysroot, '/rust'],
    [cargoHome, '/cargo'],
    [root, '/sshtunnel-native'],
  ];
  return places.map(([from, to]) => `--remap-path-prefix=${from}=${to}`);
}

/** How the C library is linked, as .cargo/config.toml and napi have it where nobody sets flags. */
export function linking(target) {
  if (target.endsWith('-windows-msvc')) return ['-C', 'target-feature=+crt-static'];
  if (target.endsWith('-musl')) return ['-C', 'target-feature=-crt-static'];
  return [];
}

function hostTarget() {
  return /^host: (.*)$/m.exec(execFileSync('rustc', ['--version', '--verbose'], { encoding: 'utf8' }))[1].trim();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { target: { type: 'string' } } });
  const target = values.target ?? hostTarget();
  const given = (process.env.RUSTFLAGS ?? '').split(' ').filter(Boolean);
  process.env.CARGO_ENCODED_RUSTFLAGS = [...given, ...linking(target), ...remapping()].join(SEPARATOR);
  const byZig = process.platform === 'linux' && target.includes('-linux-');
  const zig = byZig ? zigEnvironment() : null;
  if (byZig && zig === null) console.error('Zig cannot be had here: the binary needs the C library of this machine.');
  Object.assign(process.env, zig);
  const { NapiCli } = await import('@napi-rs/cli');
  const { task } = await new NapiCli().build({
    cwd: ROOT,
    platform: true,
    release: true,
    noJsBinding: true,
    dts: 'binding.d.ts',
    target,
    crossCompile: zig !== null,
    cargoOptions: ['--locked'],
  });
  await task;
}
