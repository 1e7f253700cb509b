// The parts of the benchmark, in the order in which they run. A part is an object:
//
// - `name`, which the command line takes, `group`, which stands for several; `title` and `about`
// - `metrics`: of each a label, and whether it is compared with other peers'
// - `charts`: metrics to draw, of all cases or those whose names match `only`
// - `cases(context)`: each with a name, and with peers: names, or objects of the part's own
// - `open(peer, one, context)`: what is measured, with `stop()`
// - `measure(opened, one, context)`: one round; its values by the names of the metrics
// - `fresh`: opened anew for each round; `cold`: without a round before the first that counts

import { beside } from './beside.mjs';
import { bulk } from './bulk.mjs';
import { command } from './command.mjs';
import { growths } from './growth.mjs';
import { idle } from './idle.mjs';
import { logon } from './logon.mjs';
import { long } from './long.mjs';
import { node } from './node.mjs';
import { property } from './property.mjs';
import { requests } from './requests.mjs';
import { scale, sessions } from './scale.mjs';
import { short } from './short.mjs';
import { slow } from './slow.mjs';

export const PARTS = [
  bulk,
  requests,
  short,
  logon,
  command,
  beside,
  idle,
  scale,
  sessions,
  node,
  property,
  long,
  slow,
  ...growths,
];
