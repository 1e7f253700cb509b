// index.d.ts declares exactly what index.js has.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import ts from 'typescript';

import * as tunnels from '../../index.js';
import { ROOT } from '../helpers/process.mjs';

const CONFIG = join(ROOT, 'tsconfig.docs.json');

const declarations = new URL('../../index.d.ts', import.meta.url);
const source = ts.createSourceFile('index.d.ts', readFileSync(declarations, 'utf8'), ts.ScriptTarget.Latest, true);

/** The names that a class or interface declares, without symbols and the constructor; the static ones apart. */
function members(name, { ofClass = false } = {}) {
  const node = source.statements.find((statement) => statement.name?.text === name);
  const isStatic = (member) => member.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.StaticKeyword) ?? false;
  const wanted = node.members.filter((member) => isStatic(member) === ofClass).map((member) => member.name);
  return new Set(wanted.filter((member) => member && ts.isIdentifier(member)).map((member) => member.text));
}

test('a valid strict program compiles, and an invalid one does not', () => {
  const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');
  const project = fileURLToPath(new URL('.', import.meta.url));
  const { status, stdout } = spawnSync(process.execPath, [tsc, '-p', project], { encoding: 'utf8' });
  assert.equal(stdout, '');
  assert.equal(status, 0);
});

/** The exports of a declaration file, with the members of classes, interfaces and objects: each name and its text. */
function documented(file) {
  const { options } = ts.parseJsonConfigFileContent(ts.readConfigFile(CONFIG, ts.sys.readFile).config, ts.sys, ROOT);
  const program = ts.createProgram([join(ROOT, file)], options);
  const checker = program.getTypeChecker();
  const ours = ({ declarations }) =>
    declarations?.some((it) => dirname(it.getSourceFile().fileName) === dirname(CONFIG));
  const exported = checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(join(ROOT, file))));
  const found = exported.flatMap((symbol) => {
    const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
    const type = target.flags & ts.SymbolFlags.Type && checker.getDeclaredTypeOfSymbol(target);
    const isObject = type && type.flags & ts.TypeFlags.Object;
    const members = isObject ? type.getProperties().filter(ours) : [];
    return [[symbol.name, target], ...members.map((member) => [`${symbol.name}.${member.name}`, member])];
  });
  return found.map(([name, symbol]) => [name, ts.displayPartsToString(symbol.getDocumentationComment(checker))]);
}

for (const file of ['index.d.ts', 'promises.d.ts', 'prometheus.d.ts', 'tunnel-ssh.d.ts']) {
  test(`an editor shows a text for every export of ${file} and every member`, () => {
    const texts = documented(file);
    assert.deepEqual(
      texts.filter(([, text]) => text === '').map(([name]) => name),
      [],
    );
    if (/^(?:index|promises)/.test(file))
      assert.match(new Map(texts).get('SSHTunnel.state'), /^What the tunnel is doing/);
  });
}

test('the class has exactly the declared members', () => {
  const { prototype } = tunnels.SSHTunnel;
  const declared = members('SSHTunnel');
  for (const name of declared) assert.ok(name in prototype, name);
  const own = Object.getOwnPropertyNames(prototype).filter(
    (name) => name !== 'constructor' && !(name in EventEmitter.prototype),
  );
  for (const name of own) assert.ok(declared.has(name), name);
  const { length, name: className, prototype: same, ...statics } = Object.getOwnPropertyDescriptors(tunnels.SSHTunnel);
  assert.deepEqual(new Set(Object.keys(statics)), members('SSHTunnel', { ofClass: true }));
});

test('tunnel.promises has exactly the declared members and the methods of the class', () => {
  const tunnel = new tunnels.SSHTunnel({
    host: 'localhost',
    username: 'user',
    forwardHost: 'localhost',
    forwardPort: 9,
  });
  assert.deepEqual(new Set(Object.keys(tunnel.promises)), members('SSHTunnelPromises'));
  for (const name of Object.keys(tunnel.promises)) assert.equal(typeof tunnel[name], 'function');
});

const isExported = (statement) => statement.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword);

test('promises of the socket functions has exactly the declared members', () => {
  const names = Object.keys(tunnels.promises);
  assert.deepEqual(new Set(names), members('SocketPromises'));
  for (const name of names) assert.equal(typeof tunnels[name], 'function');
});

test('the module exports exactly what is declared', () => {
  const declared = source.statements
    .filter(isExported)
    .flatMap((statement) =>
      ts.isVariableStatement(statement)
        ? statement.declarationList.declarations.map((declaration) => declaration.name.text)
        : ts.isClassDeclaration(statement) || ts.isFunctionDeclaration(statement)
          ? [statement.name.text]
          : [],
    );
  const values = [...new Set(declared)]; // a function has a declaration for each of its forms
  assert.deepEqual(Object.keys(tunnels.default).sort(), values.sort());
  for (const name of values) assert.equal(tunnels[name], tunnels.default[name], 'as a named import, too');
});

test('the declared algorithms are those of the addon, in its order', () => {
  const node = source.statements.find((statement) => statement.name?.text === 'Algorithms');
  for (const member of node.members) {
    const kind = member.name.text;
    // Only of compression not everything is the default.
    const [, sentence] = member.getFullText(source).split(kind === 'compress' ? 'methods' : 'Default');
    const declared = [...sentence.split(/;|\.\s/)[0].matchAll(/`'(.*?)'`/g)].map(([, name]) => name);
    const options = { host: 'localhost', username: 'user', forwardHost: 'localhost', forwardPort: 9 };
    const make = (name) => new tunnels.SSHTunnel({ ...options, algorithms: { [kind]: [name] } });
    assert.throws(
      () => make('unknown'),
      (error) => {
        const known = error.message.match(/which are (.*)\. Received/)[1].split(', ');
        // Which cipher is the first depends on the processor.
        if (kind === 'cipher') assert.deepEqual([...declared].sort(), [...known].sort());
        else assert.deepEqual(declared, known, kind);
        return true;
      },
    );
    for (const name of declared) make(name);
  }
});
