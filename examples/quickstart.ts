/**
 * Search by meaning: 12,500 word meanings, found by sentences that share no word with them.
 *
 *     npm run example:quickstart
 *     npm run example:quickstart -- --like volcano
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { PointInput, SearchResult, VectronClient } from '../src/client/node';
import { openCluster } from './support/cluster';
import { recreateCollection, waitUntilLinked } from './support/collections';
import { ProgressBar } from './support/progress';
import { projectRoot } from './support/project-root';
import { runExample } from './support/run-example';
import { shownPlan } from './support/search-plan';
import { dimension, loadWordNet, type Query, type Word } from './support/wordnet';

const collection = 'quickstart';
const upsertTimeoutMs = 30_000;

async function main(): Promise<boolean> {
  const { values } = parseArgs({ options: { like: { type: 'string' } } });
  const { words, queries } = loadWordNet(join(projectRoot, 'examples', 'data'));
  const cluster = await openCluster();
  try {
    console.log(cluster.described);
    return await story(cluster.client, words, likeQueries(values.like, words) ?? queries);
  } finally {
    await cluster.close();
  }
}

/** The points of that word stand in for queries; null without the option. */
function likeQueries(like: string | undefined, words: readonly Word[]): Query[] | null {
  if (like === undefined) return null;
  const wanted = like.toLowerCase();
  const matches = words.filter(
    ({ id, words: shown }) => id === wanted || shown.toLowerCase().split(', ').includes(wanted),
  );
  if (matches.length === 0) throw new Error(`no shipped point has the word "${like}"`);
  return matches.map(({ id, gloss, vector }) => ({ text: `like ${id}: ${gloss}`, vector }));
}

async function story(client: VectronClient, words: readonly Word[], queries: readonly Query[]): Promise<boolean> {
  const hnsw = { m: 16, efConstruction: 200 };
  await recreateCollection(client, {
    name: collection,
    dimension,
    distance: 'cosine',
    shardCount: 2,
    replicationFactor: 3,
    hnsw,
  });
  console.log(
    `created collection ${collection}: cosine, ${dimension} dimensions, 2 shards of 3 replicas, HNSW M 16, efConstruction 200\n`,
  );

  const perSecond = await ingest(client, words);
  const shards = await searchAll(client, queries);
  const isRight = await changeThings(client, words);

  const graphs = shards.filter(({ strategy }) => strategy === 'graph').length;
  console.log(
    `\nquickstart: ${words.length} points at ${Math.round(perSecond)}/s, ${queries.length} searches, ` +
      `${graphs} of ${shards.length} shards by graph, delete and update ${isRight ? 'seen' : 'NOT SEEN'}`,
  );
  return isRight;
}

async function ingest(client: VectronClient, words: readonly Word[]): Promise<number> {
  const progress = new ProgressBar('upserting', words.length);
  await client.upsertBatch(collection, words.map(pointOf), {
    timeoutMs: upsertTimeoutMs,
    onProgress: (count) => progress.show(count),
  });
  const perSecond = progress.rate(words.length);
  await waitUntilLinked(client, collection, 60_000);
  return perSecond;
}

const pointOf = ({ id, part, words, gloss, vector }: Word): PointInput => ({
  id,
  vector,
  payload: { words, part, gloss },
});

/** Prints the hits of each query; returns how the last one was answered. */
async function searchAll(client: VectronClient, queries: readonly Query[]): Promise<SearchResult['shards']> {
  let shards: SearchResult['shards'] = [];
  for (const { text, vector } of queries) {
    const found = await client.search(collection, { vector, topK: 3, explain: true });
    console.log(`\n"${text}"`);
    for (const hit of found.results) console.log(`  ${shownHit(hit)}`);
    shards = found.shards;
  }
  console.log(`\nanswered by: ${shownPlan(shards)}`);
  return shards;
}

const shownHit = ({ score, payload }: SearchResult['results'][number]): string =>
  `${score.toFixed(3)}  ${String(payload?.['words'])}: ${String(payload?.['gloss'])}`;

/** Deletes the best hit of a search, sees it gone, writes it again with another text and sees that. */
async function changeThings(client: VectronClient, words: readonly Word[]): Promise<boolean> {
  const word = words.find(({ id }) => id === 'elephant.n.01') ?? words[0];
  if (word === undefined) throw new Error('no data');
  const best = async (): Promise<SearchResult['results'][number] | undefined> =>
    (await client.search(collection, { vector: word.vector, topK: 1 })).results[0];
  const show = async (title: string): Promise<SearchResult['results'][number] | undefined> => {
    const hit = await best();
    console.log(
      `${title} the best hit is ${hit === undefined ? 'nothing' : `${hit.id}: ${String(hit.payload?.['gloss'])}`}`,
    );
    return hit;
  };
  console.log('');
  const before = await show(`searching with the vector of ${word.id},`);
  await client.delete(collection, word.id);
  const deleted = await show('deleted:');
  await client.upsert(collection, [
    { ...pointOf(word), payload: { words: word.words, gloss: 'updated by the quickstart' } },
  ]);
  const updated = await show('updated:');
  await client.upsert(collection, [pointOf(word)]);
  return (
    before?.id === word.id &&
    deleted?.id !== word.id &&
    updated?.id === word.id &&
    updated.payload?.['gloss'] === 'updated by the quickstart'
  );
}

runExample(main);
