#!/usr/bin/env node
'use strict';

require('../lib/cli/run.js').main(process.argv.slice(2));
