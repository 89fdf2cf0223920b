import { isChecksumCommand } from '../protocol/commands';
import type { Entry } from '../protocol/raft-messages';

export const isChecksum = ({ type, data }: Entry): boolean => type === 'command' && isChecksumCommand(data);

/** The entries in order, each part ending with a checksum command or with the last entry. */
export function cutAtChecksums(entries: readonly Entry[]): (readonly Entry[])[] {
  const parts: (readonly Entry[])[] = [];
  let from = 0;
  entries.forEach((entry, at) => {
    if (!isChecksum(entry) && at < entries.length - 1) return;
    parts.push(entries.slice(from, at + 1));
    from = at + 1;
  });
  return parts;
}
