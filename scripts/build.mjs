// `npm run build`: the addon as it is published. Exactly what Cargo.lock says, and without the paths of the
// machine that builds it: they would tell who that is, and make every machine's binary another one.
//
//   npm run build -- [--target <target>] [--cross-compile]

import { execFileSync } from 'node:child_process';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { ROOT } from './setup.mjs';

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
  const { values } = parseArgs({ options: { target: { type: 'string' }, 'cross-compile': { type: 'boolean' } } });
  const given = (process.env.RUSTFLAGS ?? '').split(' ').filter(Boolean);
  process.env.CARGO_ENCODED_RUSTFLAGS = [...given, ...linking(values.target ?? hostTarget()), ...remapping()].join(
    SEPARATOR,
  );
  const { NapiCli } = await import('@napi-rs/cli');
  const { task } = await new NapiCli().build({
    cwd: ROOT,
    platform: true,
    release: true,
    noJsBinding: true,
    dts: 'binding.d.ts',
    target: values.target,
    crossCompile: values['cross-compile'],
    cargoOptions: ['--locked'],
  });
  await task;
}
