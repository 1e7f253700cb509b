'use strict';

// An agent of launchd.

const path = require('node:path');

const ENTITIES = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '\r': '&#13;' };

/** Characters that XML does not have. */
const IMPOSSIBLE = /[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]|\p{Cs}/u;

/** A text in XML. */
function escaped(text) {
  if (IMPOSSIBLE.test(text)) throw new Error(`a property list cannot have the control characters of '${text}'`);
  return text.replace(/[&<>\r]/g, (character) => ENTITIES[character]);
}

const labelOf = (name) => `sshtunnel.${name}`;

/** Lines of XML for a value: a string, a number, a boolean, a list or an object. @returns {string[]} */
function element(value) {
  if (typeof value === 'string') return [`<string>${escaped(value)}</string>`];
  if (typeof value === 'number') return [`<integer>${value}</integer>`];
  if (typeof value === 'boolean') return [`<${value}/>`];
  const inner = Array.isArray(value)
    ? value.flatMap(element)
    : Object.entries(value).flatMap(([key, each]) => [`<key>${escaped(key)}</key>`, ...element(each)]);
  const tag = Array.isArray(value) ? 'array' : 'dict';
  return [`<${tag}>`, ...inner.map((line) => `  ${line}`), `</${tag}>`];
}

/**
 * @param {import('./index.js').Service} service
 * @param {string} home
 * @returns {string} the property list
 */
function propertyList({ name, mark, command, stopSeconds, notes }, home) {
  const log = path.posix.join(home, 'Library', 'Logs', `${labelOf(name)}.log`);
  const members = {
    Label: labelOf(name),
    ProgramArguments: command,
    RunAtLoad: true,
    KeepAlive: { SuccessfulExit: false },
    ThrottleInterval: 10,
    // 0 is no limit.
    ExitTimeOut: stopSeconds === Infinity ? 0 : stopSeconds,
    StandardErrorPath: log,
  };
  return `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
${[mark, ...notes].map((text) => `<!-- ${text} -->\n`).join('')}<plist version="1.0">
${element(members).join('\n')}
</plist>
`;
}

/**
 * How launchd has a service.
 * @param {{ home: string, uid: number }} user
 * @returns {import('./index.js').Manager}
 */
function launchd({ home, uid }) {
  const fileOf = (name) => path.posix.join(home, 'Library', 'LaunchAgents', `${labelOf(name)}.plist`);
  const bootout = (name) => [['launchctl', 'bootout', `gui/${uid}/${labelOf(name)}`]];
  return {
    fileOf,
    linksOf: () => [],
    text: (service) => propertyList(service, home),
    start: (name) => [['launchctl', 'bootstrap', `gui/${uid}`, fileOf(name)]],
    stop: bootout,
    forget: () => [],
    end: bootout,
    advice: undefined,
  };
}

module.exports = { launchd };
