import { describe, expect, test } from '@jest/globals';
import { present } from '../../src/base/assert';
import { clusterId, replicaId } from '../../src/base/ids';
import { ttlMsMax } from '../../src/base/limits';
import type { PlacementOperation } from '../../src/placement/commands';
import { PlacementMachine } from '../../src/placement/machine';
import { flagNumber, flagRange } from '../../src/protocol/flags';
import { defaultStorage } from '../../src/protocol/records';
import { commandOf, creation, register } from './generate';

const since = flagNumber('collectionTtl');

function machineAt(level: number): PlacementMachine {
  const machine = PlacementMachine.fresh(clusterId('test'));
  for (const node of ['a', 'b', 'c']) machine.apply(commandOf(register(node)));
  const workers = machine.workerIds().map((id) => ({ kind: 'worker', id }) as const);
  const nodes = [{ kind: 'driver', id: 1 } as const, ...workers];
  for (const node of nodes) machine.apply(commandOf({ kind: 'noteSupport', node, range: flagRange }));
  machine.apply(commandOf({ kind: 'raiseLevel', level, drivers: [replicaId(1)] }));
  expect(machine.level).toBe(level);
  return machine;
}

const mortal = (name: string, ttlMs: number): PlacementOperation => ({
  ...creation(name),
  kind: 'createMortal',
  storage: defaultStorage,
  ttlMs,
});
const change = (name: string, ttlMs: number): PlacementOperation => ({ kind: 'changeTtl', name, ttlMs });

function codeOf(machine: PlacementMachine, operation: PlacementOperation): string {
  const outcome = machine.apply(commandOf(operation));
  return outcome.kind === 'rejected' ? outcome.error.code : outcome.kind;
}

describe('how long the points of a collection live', () => {
  test('is to be carried to every shard from its creation on, and from each change', () => {
    const machine = machineAt(since);
    expect(codeOf(machine, mortal('things', 500))).toBe('collectionCreated');
    const first = machine.schemas.named('things');
    expect([first?.schema.ttlMs, first?.schema.revision, first?.settled]).toEqual([500, machine.revision, false]);
    const { id: collection, schema } = present(first, 'the schema of the collection');
    codeOf(machine, { kind: 'settleSchema', collection, revision: schema.revision });
    expect(machine.schemas.unsettled()).toEqual([]);
    expect([codeOf(machine, change('things', 500)), machine.schemas.unsettled()]).toEqual(['schemaChanged', []]);
    codeOf(machine, change('things', 0));
    expect(machine.schemas.unsettled()).toMatchObject([{ schema: { ttlMs: 0, revision: machine.revision } }]);
  });

  test('and its payload indexes leave each other alone, also after a restart', () => {
    const machine = machineAt(since);
    codeOf(machine, creation('things'));
    codeOf(machine, { kind: 'changeSchema', name: 'things', key: 'k', type: 'integer' });
    codeOf(machine, change('things', 700));
    codeOf(machine, { kind: 'changeSchema', name: 'things', key: 'l', type: 'bool' });
    const restored = PlacementMachine.restore(machine.serialise());
    for (const one of [machine, restored]) {
      const schema = one.schemas.named('things')?.schema;
      expect([schema?.indexes.map(({ key }) => key), schema?.ttlMs]).toEqual([['k', 'l'], 700]);
    }
    codeOf(machine, { kind: 'deleteCollection', name: 'things' });
    codeOf(machine, creation('things'));
    expect(machine.schemas.named('things')?.schema.ttlMs).toBe(0);
  });

  test('is refused before its flag is on, beyond its bounds, and of what is not there', () => {
    const before = machineAt(since - 1);
    codeOf(before, creation('things'));
    expect([mortal('more', 5), change('things', 5)].map((one) => codeOf(before, one))).toEqual([
      'UNAVAILABLE',
      'UNAVAILABLE',
    ]);
    const machine = machineAt(since);
    const asked = [
      mortal('things', ttlMsMax + 1),
      mortal('things', 5),
      change('things', ttlMsMax + 1),
      change('no', 5),
    ];
    expect(asked.map((one) => codeOf(machine, one))).toEqual([
      'INVALID_ARGUMENT',
      'collectionCreated',
      'INVALID_ARGUMENT',
      'NOT_FOUND',
    ]);
  });
});
