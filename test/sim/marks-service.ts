import { PlacementClient } from '../../src/actors/placement-client';
import { PlacementDriverActor } from '../../src/actors/placement-driver';
import { GatewayActor } from '../../src/gateway/gateway-actor';
import { GroupCalls } from '../../src/gateway/group-calls';
import { Leaders } from '../../src/gateway/leaders';
import { PlacementMachine } from '../../src/placement/machine';
import { after, before, called, type Probe } from './marks';

interface CallParts {
  readonly open: ReadonlySet<number>;
  readonly unknownCount: number;
  readonly asked: ReadonlySet<string>;
}

const gateway: readonly Probe[] = [
  called(GroupCalls.prototype, 'unanswered', 'attempt_not_answered_in_time'),
  called(GroupCalls.prototype, 'overloaded', 'replica_too_busy'),
  called(GroupCalls.prototype, 'redirect', 'gateway_told_of_another_leader'),
  before<GroupCalls, [CallParts]>(GroupCalls.prototype, 'pause', {
    nobody_of_a_group_answers: (_calls, [{ asked }]) => asked.size > 1,
  }),
  before<GroupCalls, [CallParts]>(GroupCalls.prototype, 'expire', {
    call_ended_with_an_attempt_open: (_calls, [{ open }]) => open.size > 0,
    call_ended_with_everybody_refusing: (_calls, [{ open, unknownCount }]) => open.size === 0 && unknownCount === 0,
    call_ended_after_an_unknown_outcome: (_calls, [{ unknownCount }]) => unknownCount > 0,
  }),
  before<
    { readonly attempts: ReadonlyMap<number, { readonly entry: { readonly current: number } }> },
    [{ readonly request: number }]
  >(GroupCalls.prototype, 'receive', {
    answer_that_nobody_waits_for: ({ attempts }, [{ request }]) => !attempts.has(request),
    late_answer_still_counts: ({ attempts }, [{ request }]) => {
      const entry = attempts.get(request)?.entry;
      return entry !== undefined && entry.current !== request;
    },
  }),
  before<{ readonly beliefs: ReadonlyMap<string, { readonly term: number }> }, [string, unknown, number]>(
    Leaders.prototype,
    'report',
    { leader_of_an_older_term_reported: ({ beliefs }, [group, , term]) => (beliefs.get(group)?.term ?? 0) > term },
  ),
  before<{ readonly running: { readonly size: number } }>(GatewayActor.prototype, 'stopped', {
    gateway_stopped_with_calls_under_way: ({ running }) => running.size > 0,
  }),
];

const placement: readonly Probe[] = [
  called(PlacementMachine.prototype, 'createCollection', 'collection_created'),
  called(PlacementMachine.prototype, 'deleteCollection', 'collection_deleted'),
  after(PlacementMachine.prototype, 'planCreation', {
    collection_created_twice: (_machine, _args, plan) => plan instanceof Error && plan.message.endsWith('exists'),
    collection_created_without_enough_workers: (_machine, _args, plan) =>
      plan instanceof Error && plan.message.includes('ready workers'),
  }),
  after(PlacementMachine.prototype, 'planDeletion', {
    collection_deleted_twice: (_machine, _args, plan) => plan instanceof Error,
  }),
  called(PlacementMachine.prototype, 'confirmRemovals', 'removal_confirmed'),
  after(PlacementDriverActor.prototype, 'refusal', {
    placement_follower_asked: (_actor, _args, refusal) => refusal !== null,
  }),
  called(PlacementDriverActor.prototype, 'leadershipChanged', 'placement_leader_changed'),
  called(PlacementDriverActor.prototype, 'found', 'placement_incarnation_drawn'),
  called(PlacementClient.prototype, 'loseLeader', 'placement_leader_lost_sight_of'),
  called(PlacementClient.prototype, 'followHint', 'placement_leader_pointed_out'),
  after(PlacementClient.prototype, 'isTermObeyed', {
    deposed_placement_leader_not_obeyed: (_client, _args, obeyed) => obeyed === false,
  }),
  called(PlacementClient.prototype, 'onWatchFailure', 'watch_refused'),
];

export const serviceProbes: readonly Probe[] = [...gateway, ...placement];
