import type { SimReport } from './run';

/** The last line of a run: what the seeds went through, so that a green run shows what it is worth. */
export function summary(reports: readonly SimReport[], elapsedMs: number): string {
  const sum = (pick: (report: SimReport) => number): number =>
    reports.reduce((total, report) => total + pick(report), 0);
  const red = reports.filter((report) => report.violation !== null).length;
  const telling = reports.filter((report) => report.telling).length / Math.max(1, reports.length);
  const parts = [
    `${reports.length} seeds`,
    `${red} red`,
    `${(telling * 100).toFixed(1)} % telling`,
    `${sum((r) => r.acknowledged)} writes acknowledged`,
    `${sum((r) => r.rejected)} rejected`,
    `${sum((r) => r.unknown)} unknown`,
    `${sum((r) => r.reads)} reads checked`,
    `${sum((r) => r.crashes)} crashes`,
    `${sum((r) => r.partitions)} partitions`,
    `${sum((r) => r.leaderChanges)} leader changes`,
    `${sum((r) => r.threadKills)} thread kills`,
    `${sum((r) => r.actorKills)} actor kills`,
    `${sum((r) => r.diskErrors)} disk errors`,
    `${sum((r) => r.damages)} damages on disk`,
    `${sum((r) => r.quarantines)} replicas in quarantine`,
    `${sum((r) => r.moves)} moves`,
    `${sum((r) => r.handOvers)} hand-overs`,
    `${sum((r) => r.wipes)} disks lost`,
    `${sum((r) => r.membersSettled)} members replaced at last`,
    `${sum((r) => r.collectionsCreated)} collections created and deleted`,
    `${sum((r) => r.gatewayRestarts)} gateway restarts`,
    `${sum((r) => r.snapshotsInstalled)} snapshots installed`,
    `${sum((r) => r.sleeps)} fell asleep (${Math.max(0, ...reports.map((r) => r.sleepersMax))} at a time), ${sum((r) => r.doubts)} woke in doubt`,
    `${sum((r) => r.snapshotFaults)} cut off`,
    `${sum((r) => r.snapshotsResumed)} taken up again`,
    `${sum((r) => r.droppedMessages)} messages lost`,
    `${(sum((r) => r.simulatedMs) / elapsedMs).toFixed(0)}x real time`,
    `${(elapsedMs / 1000).toFixed(0)} s`,
  ];
  return `sim: ${parts.join(', ')}`;
}
