#!/usr/bin/env node
'use strict';

const fs = require('node:fs');
const path = require('node:path');

const root = path.join(__dirname, '..');
const bundle = path.join(root, 'dist', 'cli');
const modules = path.join(root, 'lib', 'cli', 'index.js');

// Packages have the command in one file, which starts sooner than its modules.
if (fs.existsSync(modules)) {
  require(modules).main(process.argv.slice(2));
} else {
  const { exports: command, keep } = require(path.join(bundle, 'code-cache.js')).runCached(
    path.join(bundle, 'index.js'),
  );
  command.main(process.argv.slice(2), keep);
}
