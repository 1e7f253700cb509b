// Links between the files of a package: a reader of an installed package follows them in node_modules.

import { readFileSync } from 'node:fs';
import { join, posix } from 'node:path';

/** A link of Markdown to another file, or what a comment in the types refers to. */
const LINKS = { '.md': /\]\(([^)#\s]+)(?:#[^)]*)?\)/g, '.ts': /\b(docs\/[\w/-]+\.md)\b/g };

/** The files that one of `files` links to. */
function links(folder, file) {
  const pattern = LINKS[posix.extname(file)];
  if (pattern === undefined) return [];
  const targets = Array.from(readFileSync(join(folder, file), 'utf8').matchAll(pattern), ([, target]) => target);
  return targets
    .filter((target) => !/^[a-z]+:/.test(target))
    .map((target) => posix.normalize(posix.join(posix.dirname(file), target)));
}

/**
 * The links among files that lead to none of them, as sentences.
 * @param {string} folder
 * @param {string[]} files their paths in `folder`, with slashes
 */
export function brokenLinks(folder, files) {
  return files.flatMap((file) =>
    links(folder, file)
      .filter((target) => !files.includes(target))
      .map((target) => `${file} links to ${target}, which is not packed`),
  );
}
