/** Which of two files is the infrared one, by name and content. */

import type { SourceInfo } from "../engine/protocol";

const INFRARED = /(^|[^a-z])(ir|nir|lwir|mwir|swir|infrared|thermal|therm|flir|inf|t)([^a-z]|$)/i;
const VISIBLE = /(^|[^a-z])(vi|vis|visible|rgb|color|colour|photo|tv|eo)([^a-z]|$)/i;

interface Candidate {
  readonly name: string;
  readonly info: SourceInfo;
}

/** Whether the first of two files should be B (visible) and the second A (infrared). */
export function shouldSwap(first: Candidate, second: Candidate): boolean {
  return infraredness(second) > infraredness(first);
}

function infraredness({ name, info }: Candidate): number {
  const named = (INFRARED.test(name) ? 4 : 0) - (VISIBLE.test(name) ? 4 : 0);
  return named + (info.counts ? 2 : 0) - (info.colored ? 2 : 0);
}
