// Manifests of Kubernetes against its schemas: those of a package of PyPI, with Debian's validator of JSON schemas.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { PYTHON } from '../../interop/python-servers.mjs';
import { TOOLS, installPython } from '../../scripts/pinned.mjs';
import { ensureDebian } from './ensure-sshd.mjs';

/** The version whose schemas are used: they refuse members that do not exist. */
const SCHEMAS = join('kubernetes_validate', 'kubernetes-json-schema', 'v1.37.0-local-strict');

/** What the schemas call the file of their definitions. */
const DEFINITIONS = 'https://kubernetes.io/api/_definitions.json';

const SOURCE = `
import json, pathlib, re, sys, warnings
import yaml
warnings.simplefilter("ignore")
from jsonschema import Draft7Validator, RefResolver
folder = pathlib.Path(sys.argv[1])
definitions = json.load(open(folder / "_definitions.json"))
failed = False
for manifest in yaml.safe_load_all(open(sys.argv[2])):
    group = re.sub(r"^([^./]*)(?:\\.[^/]*)?/", r"\\1-", manifest["apiVersion"])
    schema = json.load(open(folder / f"{manifest['kind'].lower()}-{group}.json"))
    resolver = RefResolver.from_schema(schema, store={"${DEFINITIONS}": definitions})
    for error in Draft7Validator(schema, resolver=resolver).iter_errors(manifest):
        print("/".join(map(str, error.path)), error.message)
        failed = True
sys.exit(failed)
`;

const isThere = () => spawnSync(PYTHON, ['-c', 'import jsonschema, yaml']).status === 0;

/**
 * What validates a manifest: gives its faults, one a line, and the status 0 if there are none. null where it cannot be had.
 * @returns {((file: string) => { status: number, text: string }) | null}
 */
export function kubernetesValidator() {
  const name = 'a validator of JSON schemas for Python';
  if (!ensureDebian(name, isThere, ['python3-jsonschema', 'python3-yaml'])) return null;
  const folder = join(TOOLS, 'kubernetes-schemas');
  if (!existsSync(join(folder, SCHEMAS)) && !installPython('kubernetes-schemas.txt', folder)) return null;
  return (file) => {
    const args = ['-c', SOURCE, join(folder, SCHEMAS), file];
    const { status, stdout, stderr } = spawnSync(PYTHON, args, { encoding: 'utf8' });
    return { status, text: stdout + stderr };
  };
}
