'use strict';

/** The exit status of every failure, as with ssh. */
const FAILED = 255;

module.exports = { FAILED };
