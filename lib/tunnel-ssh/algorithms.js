'use strict';

// Lists of algorithms as in ssh2, which has old ones that are not supported here.

const { invalidArgValue } = require('../errors.js');
const { ALGORITHM_KINDS: KINDS, knownAlgorithms } = require('../validate/limits.js');
const { checkName, checkObject } = require('../validate/index.js');

const CHANGES = ['remove', 'prepend', 'append'];

/** Compression is off by default: the default list of the addon has only one of these. */
const COMPRESSION = ['none', 'zlib@openssh.com'];

/** Algorithms with a warning already. */
const warned = new Set();

function warn(kind, names) {
  const news = names.filter((name) => !warned.has(name));
  if (news.length === 0) return;
  for (const name of news) warned.add(name);
  process.emitWarning(
    `sshOptions.algorithms.${kind}: ignored, as sshtunnel-native does not support it: ${news.join(', ')}`,
    {
      code: 'SSHTUNNEL_ALGORITHM',
    },
  );
}

/** The lists as a tunnel takes them. */
function readAlgorithms(value, name) {
  const lists = {};
  for (const kind in checkObject(value, name)) {
    const list = value[kind];
    if (!KINDS.includes(kind)) throw invalidArgValue(`${name}.${kind}`, `must be one of: ${KINDS.join(', ')}`, list);
    // As in ssh2, an empty list is ignored.
    if (list === undefined || list === null || list.length === 0) continue;
    const known = kind === 'compress' ? COMPRESSION : knownAlgorithms(kind);
    const property = `${name}.${kind}`;
    lists[kind] = Array.isArray(list)
      ? readExact(kind, list, known, property)
      : readChanges(kind, list, known, property);
  }
  return lists;
}

function readExact(kind, list, known, name) {
  list.forEach((element, index) => checkName(element, `${name}[${index}]`));
  const kept = list.filter((algorithm) => known.includes(algorithm));
  if (kept.length === 0) throw invalidArgValue(name, `must contain one of: ${known.join(', ')}`, list);
  warn(
    kind,
    list.filter((algorithm) => !kept.includes(algorithm)),
  );
  return kept;
}

/** Changes to the default list; a regular expression stands for all names that it matches. */
function readChanges(kind, changes, known, name) {
  const read = {};
  for (const change in checkObject(changes, name)) {
    if (!CHANGES.includes(change))
      throw invalidArgValue(`${name}.${change}`, `must be one of: ${CHANGES.join(', ')}`, changes[change]);
    const given = [changes[change] ?? []].flat();
    const algorithms = given.flatMap((each, index) =>
      each instanceof RegExp
        ? known.filter((algorithm) => each.test(algorithm))
        : checkName(each, `${name}.${change}[${index}]`),
    );
    read[change] = algorithms.filter((algorithm) => known.includes(algorithm));
    // Unknown algorithms need not be removed.
    if (change !== 'remove')
      warn(
        kind,
        algorithms.filter((algorithm) => !known.includes(algorithm)),
      );
  }
  return read;
}

module.exports = { readAlgorithms };
