// What every peer that is a Node program can be asked about its main thread.

import { monitorEventLoopDelay, performance } from 'node:perf_hooks';

const RESOLUTION = 1; // ms
const MS = 1e6; // nanoseconds

let before;
let delays;

export const watch = {
  /** From now on: utilization alone, or the delay, whose timer would itself count as utilization. */
  watch(what) {
    if (what === 'utilization') {
      before = performance.eventLoopUtilization();
    } else {
      delays = monitorEventLoopDelay({ resolution: RESOLUTION });
      delays.enable();
    }
  },

  utilization: () => performance.eventLoopUtilization(before).utilization,

  /** Milliseconds that the timer was late. */
  delay() {
    delays.disable();
    const late = (nanoseconds) => Math.max(0, nanoseconds / MS - RESOLUTION);
    return { p50: late(delays.percentile(50)), p99: late(delays.percentile(99)), max: late(delays.max) };
  },
};
