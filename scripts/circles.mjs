// `npm run circles`: fails where files of different folders import each other in a circle, in JavaScript (index.js,
// lib/) or Rust (src/, crates/*/src). Within a folder they may.
//
// An import leads to the file that defines the name: a file that passes it on (`pub use`) is passed through. That a
// module declares its children (`mod`) is no import, and what is for tests alone (`#[cfg(test)]`) does not count.
// `x.rs` belongs to the folder `x/`, if there is one, as `x/mod.rs` would.

import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join, posix, sep } from 'node:path';
import { pathToFileURL } from 'node:url';

import { ROOT } from './setup.mjs';

/** Imports that close the circles of today: to be cut. None may come, and one that is cut has to go from here. */
const TO_BE_CUT = [];

/** All files below a folder, by their paths from `root` with slashes. */
function filesBelow(root, folder, extension) {
  if (!existsSync(join(root, folder))) return [];
  return readdirSync(join(root, folder), { recursive: true })
    .map((name) => posix.join(folder, name.split(sep).join('/')))
    .filter((name) => name.endsWith(extension))
    .sort();
}

// JavaScript

const IMPORT = /\b(?:require\(|import\(|from\s|import\s)\s*['"](\.[^'"]*)['"]/g;

/** @returns {Map<string, Set<string>>} what each file imports */
export function importsOfJavaScript(root) {
  const files = [
    ...['index.js', 'opentelemetry.js', 'prometheus.js', 'tunnel-ssh.js'].filter((name) =>
      existsSync(join(root, name)),
    ),
    ...filesBelow(root, 'lib', '.js'),
  ];
  const graph = new Map();
  for (const file of files) {
    const text = readFileSync(join(root, file), 'utf8').replace(/^\s*(?:\/\/|\/?\*).*$/gm, '');
    const found = [...text.matchAll(IMPORT)].map(([, path]) => posix.join(posix.dirname(file), path));
    graph.set(file, new Set(found.filter((path) => files.includes(path))));
  }
  return graph;
}

// Rust

const TOKENS =
  /\/\/[^\n]*|\/\*[^]*?\*\/|b?r(#*)"[^]*?"\1|b?"(?:\\[^]|[^"\\])*"|b?'(?:\\[^']+|[^'\\])'|'\w+|\w+|::|[^\s]/g;
const ITEMS = new Set(['fn', 'struct', 'enum', 'trait', 'type', 'const', 'static', 'union']);

/** Words and signs, without comments, texts and lifetimes. */
function tokensOf(text) {
  return [...text.matchAll(TOKENS)]
    .map(([token]) => token)
    .filter((token) => !/^(?:\/\/|\/\*|b?r#*"|b?"|b?'.|')/.test(token));
}

class Module {
  children = new Map();
  /** What `use` gives a name here: where it leads from this module. @type {Map<string, string[]>} */
  names = new Map();
  /** Modules whose every item is used. @type {string[][]} */
  globs = [];
  items = new Set();
  /** Paths in the code, and imports that are not passed on. @type {string[][]} */
  paths = [];

  constructor(file, parent) {
    this.file = file;
    this.parent = parent;
  }

  get root() {
    return this.parent === undefined ? this : this.parent.root;
  }
}

/** Reads a file, and those of its children. */
class Reader {
  #root;
  files = [];
  modules = [];

  constructor(root) {
    this.#root = root;
  }

  file(file, folder, parent) {
    const module = new Module(file, parent);
    this.files.push(file);
    const tokens = tokensOf(readFileSync(join(this.#root, file), 'utf8'));
    this.#block(tokens, 0, module, folder);
    return module;
  }

  /** The items of a module, up to the brace that closes it. @returns {number} what follows */
  #block(tokens, start, module, folder) {
    this.modules.push(module);
    let depth = 0;
    let at = start;
    for (; at < tokens.length; at++) {
      const token = tokens[at];
      if (token === '#' && (tokens[at + 1] === '[' || tokens[at + 1] === '!')) {
        const end = closing(tokens, tokens.indexOf('[', at));
        if (tokens.slice(at, end).join('') === '#[cfg(test)') at = endOfItem(tokens, end + 1);
        else at = end;
      } else if (token === '{') {
        depth++;
      } else if (token === '}') {
        if (--depth < 0) break;
      } else if (token === 'mod' && tokens[at + 2] === ';') {
        this.#child(tokens[at + 1], module, folder);
        at += 2;
      } else if (token === 'mod' && tokens[at + 2] === '{') {
        const inline = new Module(module.file, module);
        module.children.set(tokens[at + 1], inline);
        at = this.#block(tokens, at + 3, inline, posix.join(folder, tokens[at + 1]));
      } else if (token === 'use' && tokens[at + 1] !== '<') {
        at = readUse(tokens, at + 1, module, tokens[at - 1] === 'pub' || tokens[at - 1] === ')');
      } else if (token === 'macro_rules' && depth === 0) {
        module.items.add(tokens[at + 2]);
      } else if (ITEMS.has(token) && depth === 0 && /^\w/.test(tokens[at + 1])) {
        module.items.add(tokens[at + 1]);
      } else if (/^[a-z]\w*$/i.test(token) && tokens[at + 1] === '::' && tokens[at - 1] !== '::') {
        const path = [token];
        while (tokens[at + 1] === '::' && /^\w/.test(tokens[at + 2] ?? '')) path.push(tokens[(at += 2)]);
        module.paths.push(path);
      }
    }
    return at;
  }

  #child(name, module, folder) {
    const file = [`${posix.join(folder, name)}.rs`, posix.join(folder, name, 'mod.rs')].find((path) =>
      existsSync(join(this.#root, path)),
    );
    if (file === undefined) throw new Error(`${module.file}: no file of the module ${name}`);
    module.children.set(name, this.file(file, posix.join(folder, name), module));
  }
}

/** Where a bracket is closed that is opened at `at`. */
function closing(tokens, at) {
  let depth = 0;
  for (let end = at; end < tokens.length; end++) {
    if ('([{'.includes(tokens[end])) depth++;
    else if (')]}'.includes(tokens[end]) && --depth === 0) return end;
  }
  return tokens.length;
}

/** The last token of an item: a semicolon, or the brace that closes its body. */
function endOfItem(tokens, at) {
  for (let end = at; end < tokens.length; end++) {
    if (tokens[end] === ';') return end;
    if (tokens[end] === '{') return tokens[at] === 'use' ? tokens.indexOf(';', end) : closing(tokens, end);
    if ('(['.includes(tokens[end])) end = closing(tokens, end);
  }
  return tokens.length;
}

/** Reads `a::{b, c::d as e}` up to its semicolon. */
function readUse(tokens, start, module, isPassedOn) {
  const leaves = [];
  let at = start;
  const tree = (prefix) => {
    const path = [...prefix];
    let name;
    for (; ; at++) {
      const token = tokens[at];
      if (token === '{') {
        at++;
        while (tokens[at] !== '}') {
          tree(path);
          if (tokens[at] === ',') at++;
          else if (tokens[at] !== '}') throw new Error(`${module.file}: a use that cannot be read`);
        }
        at++;
        return;
      }
      if (token === undefined || [',', '}', ';'].includes(token)) break;
      if (token === 'as') name = tokens[++at];
      else if (token !== '::' && !(token === 'self' && path.length > 0)) path.push(token);
    }
    leaves.push({ path, name: name ?? path.at(-1) });
  };
  tree([]);
  for (const { path, name } of leaves) {
    if (path.at(-1) === '*') module.globs.push(path.slice(0, -1));
    else module.names.set(name, path);
    if (!isPassedOn) module.paths.push(path);
    // What is passed on and used here, too, is imported.
    else if (tokens.slice(at).includes(name) && module.parent !== undefined) module.paths.push(path);
  }
  return at;
}

/**
 * What a path stands for in a module.
 * @returns {Module | string | undefined} a module, the file that defines the name, or nothing of this crate
 */
function resolve(module, [first, ...rest], seen = new Set()) {
  let place;
  if (first === 'crate') place = module.root;
  else if (first === 'self') place = module;
  else if (first === 'super') place = module.parent;
  else place = lookUp(module, first, seen);
  for (const [index, name] of rest.entries()) {
    if (!(place instanceof Module)) return place;
    if (name === 'super') place = place.parent;
    else place = lookUp(place, name, seen) ?? (index === rest.length - 1 ? place.file : undefined);
  }
  return place;
}

function lookUp(module, name, seen) {
  const key = `${module.file} ${name}`;
  if (module.children.has(name)) return module.children.get(name);
  if (module.items.has(name)) return module.file;
  if (seen.has(key)) return undefined;
  const next = new Set(seen).add(key);
  // `use name::...` of another crate names itself.
  if (module.names.has(name)) return resolve(module, module.names.get(name), next);
  for (const glob of module.globs) {
    const place = resolve(module, glob, next);
    const found = place instanceof Module && place !== module ? lookUp(place, name, next) : undefined;
    if (found !== undefined) return found;
  }
  return undefined;
}

/** What `use module::*` may bring: which of it is used, only the compiler knows. */
function everything(module) {
  if (!(module instanceof Module)) return [];
  return [
    ...(module.items.size > 0 ? [module.file] : []),
    ...[...module.names.keys()].map((name) => lookUp(module, name, new Set())),
  ];
}

/** @returns {Map<string, Set<string>>} what each file imports */
export function importsOfRust(root) {
  const graph = new Map();
  const crates = existsSync(join(root, 'crates'))
    ? readdirSync(join(root, 'crates')).map((name) => `crates/${name}/src`)
    : [];
  for (const folder of ['src', ...crates]) {
    const main = posix.join(folder, 'lib.rs');
    if (!existsSync(join(root, main))) continue;
    const reader = new Reader(root);
    reader.file(main, folder, undefined);
    for (const file of reader.files) graph.set(file, new Set());
    for (const module of reader.modules) {
      for (const path of module.paths) {
        for (const place of path.at(-1) === '*'
          ? everything(resolve(module, path.slice(0, -1)))
          : [resolve(module, path)]) {
          // A module alone is a beginning of paths, each of which is looked at by itself.
          if (typeof place === 'string' && place !== module.file) graph.get(module.file).add(place);
        }
      }
    }
  }
  return graph;
}

// Both

/** The folder that a file belongs to. One with tests alone is none. */
function folderOf(file, files) {
  const own = file.replace(/\.rs$/, '');
  return files.some((other) => other.startsWith(`${own}/`)) ? own : posix.dirname(file);
}

/** Groups of files each of which leads to every other one (Tarjan). @returns {string[][]} */
function components(graph) {
  const numbers = new Map();
  const lows = new Map();
  const stack = [];
  const found = [];
  const visit = (file) => {
    numbers.set(file, numbers.size);
    lows.set(file, numbers.get(file));
    stack.push(file);
    for (const next of graph.get(file)) {
      if (!numbers.has(next)) visit(next);
      if (stack.includes(next)) lows.set(file, Math.min(lows.get(file), lows.get(next)));
    }
    if (lows.get(file) === numbers.get(file)) found.push(stack.splice(stack.indexOf(file)));
  };
  for (const file of graph.keys()) if (!numbers.has(file)) visit(file);
  return found;
}

/**
 * Imports that are parts of circles and lead from one folder to another, each as `from -> to`.
 * @param {string} root of a repository
 * @param {string[]} [without] imports that do not count
 * @returns {string[]}
 */
export function circles(root, without = []) {
  const found = [];
  for (const graph of [importsOfJavaScript(root), importsOfRust(root)]) {
    for (const [from, imports] of graph) {
      for (const to of imports) if (without.includes(`${from} -> ${to}`)) imports.delete(to);
    }
    const files = [...graph.keys()];
    for (const group of components(graph)) {
      for (const from of group) {
        const others = [...graph.get(from)].filter(
          (to) => group.includes(to) && folderOf(from, files) !== folderOf(to, files),
        );
        found.push(...others.map((to) => `${from} -> ${to}`));
      }
    }
  }
  return found;
}

/** What is wrong, one line each: circles but for those that are known, and imports of the list that are in none. */
export function faults(root, toBeCut = TO_BE_CUT) {
  const all = circles(root);
  return [
    ...circles(root, toBeCut).map((entry) => `${entry} is part of a circle`),
    ...toBeCut
      .filter((entry) => !all.includes(entry))
      .map((entry) => `${entry} is part of no circle any more: take it from the list`),
  ];
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const wrong = faults(ROOT);
  for (const line of wrong) console.error(line);
  if (wrong.length > 0) process.exit(1);
  console.log(
    `no circle between folders${TO_BE_CUT.length > 0 ? `, but for ${TO_BE_CUT.length} that are to be cut` : ''}`,
  );
}
