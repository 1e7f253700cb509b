'use strict';

// Loads the addon, or throws an error that says why it cannot. The build makes `binding.js`, which looks for a binary
// beside itself and then in the package of this platform; its own error blames npm in every case.

const { version } = require('../../package.json');
const { noBinary } = require('../errors.js');

/** The platforms with a binary, by the names of their packages. */
const PLATFORMS = [
  'linux-x64-gnu',
  'linux-arm64-gnu',
  'linux-x64-musl',
  'linux-arm64-musl',
  'darwin-x64',
  'darwin-arm64',
  'win32-x64-msvc',
];

/** The C library of a Linux system, which binaries depend on. */
function libc() {
  /** @type {any} newer than its types: `excludeNetwork`, and what is in a report */
  const report = process.report;
  const { excludeNetwork } = report;
  report.excludeNetwork = true; // otherwise it looks up the names of all peers
  const { glibcVersionRuntime: version } = report.getReport().header;
  report.excludeNetwork = excludeNetwork;
  return version === undefined ? { abi: 'musl', library: 'musl' } : { abi: 'gnu', library: `glibc ${version}` };
}

/** This platform: the name of its package, and a description. */
function describe() {
  const { platform, arch, version: node } = process;
  const { abi, library } = platform === 'linux' ? libc() : { abi: platform === 'win32' ? 'msvc' : undefined };
  return {
    name: [platform, arch, abi].filter(Boolean).join('-'),
    words: [`${platform} ${arch}`, library, `Node.js ${node}`].filter(Boolean).join(', '),
  };
}

/** The errors that the loader collected: each is the cause of the next. */
function errorsOf(failure) {
  /** @type {NodeJS.ErrnoException[]} */
  const found = [];
  for (let at = failure.cause; at instanceof Error; at = at.cause) found.push(at);
  return found;
}

function reason(failure, name) {
  if (failure.code === 'MODULE_NOT_FOUND') return 'binding.js is missing, which the build makes';
  const errors = errorsOf(failure);
  const [first] = (errors[0] ?? failure).message.split('\n');
  if (process.env.NAPI_RS_NATIVE_LIBRARY_PATH) return `NAPI_RS_NATIVE_LIBRARY_PATH does not lead to one: ${first}`;
  // For another system, or without a library that it needs.
  const broken = errors.find(({ code }) => code === 'ERR_DLOPEN_FAILED');
  if (broken !== undefined) return `the one that is installed does not load: ${broken.message}`;
  if (!PLATFORMS.includes(name)) return `there are binaries for ${PLATFORMS.join(', ')} only`;
  return (
    `the package sshtunnel-native-${name} ${version} is not installed. It is an optional dependency: install ` +
    'again with those, on this platform, and without a lock file or a node_modules of another one'
  );
}

function load() {
  try {
    return require('../../binding.js');
  } catch (failure) {
    const { name, words } = describe();
    throw noBinary(words, reason(failure, name), failure);
  }
}

module.exports = load();
