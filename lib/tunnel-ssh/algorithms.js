'use strict';

// Lists of algorithms as ssh2 takes them. It knows old ones that do not exist here.

const { invalidArgValue } = require('../errors.js');
const { ALGORITHM_KINDS: KINDS, knownAlgorithms } = require('../validate/limits.js');
const { checkName, checkObject } = require('../validate/index.js');

const CHANGES = ['remove', 'prepend', 'append'];

/** Compression is not offered by default, so that the addon's own list has only one of these. */
const COMPRESSION = ['none', 'zlib@openssh.com'];

/** Those that were warned about: once is enough. */
const warned = new Set();

function warn(kind, names) {
  const news = names.filter((name) => !warned.has(name));
  if (news.length === 0) return;
  for (const name of news) warned.add(name);
  process.emitWarning(
    `sshOptions.algorithms.${kind}: left out, for sshtunnel-native does not have it: ${news.join(', ')}`,
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
    if (!KINDS.includes(kind)) throw invalidArgValue(`${name}.${kind}`, `is none of ${KINDS.join(', ')}`, list);
    // Ssh2 takes an empty list for none given.
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
  if (kept.length === 0) throw invalidArgValue(name, `has none of ${known.join(', ')}`, list);
  warn(
    kind,
    list.filter((algorithm) => !kept.includes(algorithm)),
  );
  return kept;
}

/** Changes of the default list; a pattern stands for all names that it matches. */
function readChanges(kind, changes, known, name) {
  const read = {};
  for (const change in checkObject(changes, name)) {
    if (!CHANGES.includes(change))
      throw invalidArgValue(`${name}.${change}`, `is none of ${CHANGES.join(', ')}`, changes[change]);
    const given = [changes[change] ?? []].flat();
    const algorithms = given.flatMap((each, index) =>
      each instanceof RegExp
        ? known.filter((algorithm) => each.test(algorithm))
        : checkName(each, `${name}.${change}[${index}]`),
    );
    read[change] = algorithms.filter((algorithm) => known.includes(algorithm));
    // What does not exist need not be taken out.
    if (change !== 'remove')
      warn(
        kind,
        algorithms.filter((algorithm) => !known.includes(algorithm)),
      );
  }
  return read;
}

module.exports = { readAlgorithms };
