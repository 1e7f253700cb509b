'use strict';

// The folder of the package. Modules of the command that read its files take their paths from here: this file is as deep
// in it as dist/cli/index.js, which is all of them in one.

const path = require('node:path');

const ROOT = path.join(__dirname, '..', '..');

module.exports = { ROOT };
