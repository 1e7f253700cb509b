// `npm run closing-table`: writes the closing rules, which the tests try, into the documents. With `--check` it writes
// nothing and fails where a document differs.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { closingTable } from '../__test__/helpers/closing-rules.mjs';
import { withSection } from './section.mjs';
import { ROOT } from './setup.mjs';

const MARKS = { begin: '<!-- written by npm run closing-table -->', end: '<!-- end of the closing table -->' };

const PAGES = { readme: 'README.md', guide: 'docs/guide.md', closing: 'docs/closing.md' };

/** The documents whose table differs from the rules, with the text that they should have. */
export function differing() {
  const pages = Object.entries(PAGES).map(([page, file]) => {
    const text = readFileSync(join(ROOT, file), 'utf8');
    return { file, text, right: withSection(file, text, MARKS, closingTable(page)) };
  });
  return pages.filter(({ text, right }) => text !== right);
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const check = process.argv.includes('--check');
  for (const { file, right } of differing()) {
    if (!check) writeFileSync(join(ROOT, file), right);
    console.log(check ? `${file} has another closing table: npm run closing-table` : `${file} is written`);
    if (check) process.exitCode = 1;
  }
}
