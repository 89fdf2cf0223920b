import { z } from 'zod';
import { VectronError } from '../../base/errors';
import type { Environment, Service } from './env-files';

const port = z.coerce.number().int().min(0).max(65_535);
const fixedPort = port.min(1);
const hostPort = z.string().regex(/^[^\s:]+:\d{1,5}$/, 'must be host:port');
const nodeNamePattern = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, 'must be 1 to 64 letters, digits, - or _');
const milliseconds = (low: number, high: number) => z.coerce.number().int().min(low).max(high);

/** `pd-1=127.0.0.1:7101,pd-2=127.0.0.1:7102`. */
const nodeList = z.string().transform((value, context) => {
  const nodes = value.split(',').map((part) => {
    const [node, address] = part.trim().split('=');
    return { node: node ?? '', address: address ?? '' };
  });
  if (
    nodes.some((peer) => !nodeNamePattern.safeParse(peer.node).success || !hostPort.safeParse(peer.address).success)
  ) {
    context.addIssue({ code: 'custom', message: 'must be a list of name=host:port' });
  } else if (new Set(nodes.map(({ node }) => node)).size < nodes.length) {
    context.addIssue({ code: 'custom', message: 'names a node twice' });
  }
  return nodes;
});

const common = {
  VECTRON_CLUSTER: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,64}$/)
    .default('vectron-local')
    .describe('name of the cluster; members of another are refused'),
  VECTRON_DATA_DIR: z.string().min(1).default('data').describe('where this service keeps its data'),
};
const consensus = {
  VECTRON_TICK_MS: milliseconds(5, 1_000).default(50).describe('length of a consensus tick'),
  VECTRON_HEARTBEAT_TICKS: milliseconds(1, 100).default(3).describe('ticks between heartbeats of a leader'),
  VECTRON_ELECTION_TICKS: milliseconds(2, 1_000)
    .default(20)
    .describe('ticks without a leader before a campaign; each wait is drawn from once to twice this'),
};
const worker = {
  VECTRON_SHARD_THREADS: z.coerce.number().int().min(1).max(64).default(2).describe('shard threads of one worker'),
  VECTRON_INGEST: z
    .enum(['yes', 'no'])
    .default('no')
    .transform((value) => value === 'yes')
    .describe(
      'yes: points are not linked into graphs, only found by scans; a start without it links them in the background',
    ),
  VECTRON_INDEX_MEMORY_MIB: z.coerce
    .number()
    .int()
    .min(0)
    .max(2 ** 24)
    .default(0)
    .describe('MiB that the vector indexes of this process may take; 0: 70 % of the memory it may have'),
};
const domain = {
  VECTRON_ZONE: z.string().default('').describe('failure domain, wider'),
  VECTRON_RACK: z.string().default('').describe('failure domain, narrower'),
};
const gateway = {
  VECTRON_HOST: z.string().min(1).default('127.0.0.1').describe('address the public ports listen on'),
  VECTRON_GRPC_PORT: port.default(7700).describe('public gRPC port; 0 picks a free one'),
  VECTRON_HTTP_PORT: port.default(7701).describe('public HTTP port; 0 picks a free one'),
  VECTRON_API_KEY_FILE: z
    .string()
    .default('')
    .describe('file with API keys, one a line; empty: data directory/api-key'),
};
const embedded = {
  VECTRON_GATEWAY: z
    .enum(['yes', 'no'])
    .default('no')
    .transform((value) => value === 'yes')
    .describe('yes: this worker serves the public API itself, on the ports below'),
  ...gateway,
  VECTRON_GRPC_PORT: fixedPort.default(7700).describe('public gRPC port of a worker that serves the API'),
  VECTRON_HTTP_PORT: fixedPort.default(7701).describe('public HTTP port of a worker that serves the API'),
};
const joined = {
  VECTRON_NODE: nodeNamePattern.describe('name of this node, unique in the cluster'),
  VECTRON_LISTEN: hostPort.describe('host:port where this node takes links from the others'),
  VECTRON_PD: nodeList.describe('the placement driver nodes: name=host:port, comma-separated'),
};

/** One schema a service: validates, and describes itself for the reference page. */
export const schemas = {
  dev: z.object({ ...common, ...consensus, ...worker, ...gateway }),
  pd: z.object({ ...common, ...consensus, ...joined }),
  worker: z.object({ ...common, ...consensus, ...worker, ...embedded, ...domain, ...joined }),
  gateway: z.object({ ...common, ...gateway, ...joined }),
} as const satisfies Record<Service, z.ZodObject>;

export type Config<S extends Service> = z.output<(typeof schemas)[S]>;

/** Throws INVALID_ARGUMENT naming every setting that is wrong. */
export function parseConfig<S extends Service>(service: S, environment: Environment): Config<S> {
  const schema = schemas[service];
  const given = Object.fromEntries(
    Object.keys(schema.shape)
      .map((name) => [name, environment[name]] as const)
      .filter(([, value]) => value !== undefined && value !== ''),
  );
  const result = schema.safeParse(given);
  const problems: readonly Problem[] = result.success
    ? contradictions(service, result.data)
    : result.error.issues.map(({ path, message }) => ({ setting: String(path[0] ?? ''), message }));
  const [first] = problems;
  if (result.success && first === undefined) return result.data as Config<S>;
  const text = problems.map(({ setting, message }) => `${setting}: ${message}`).join('; ');
  throw new VectronError('INVALID_ARGUMENT', `configuration of ${service}: ${text}`, { field: first?.setting ?? '' });
}

interface Problem {
  readonly setting: string;
  readonly message: string;
}

/** Settings that are right each by itself and wrong together. */
function contradictions(service: Service, config: Partial<Config<'dev'> & Config<'pd'>>): Problem[] {
  const { VECTRON_ELECTION_TICKS: election = 0, VECTRON_HEARTBEAT_TICKS: heartbeat = 0 } = config;
  const problems: Problem[] = [];
  if (election < 2 * heartbeat) {
    problems.push({ setting: 'VECTRON_ELECTION_TICKS', message: 'must be at least twice VECTRON_HEARTBEAT_TICKS' });
  }
  const { VECTRON_NODE: node, VECTRON_PD: placement = [] } = config;
  if (service === 'pd' && !placement.some((member) => member.node === node)) {
    problems.push({ setting: 'VECTRON_NODE', message: 'is not one of the nodes in VECTRON_PD' });
  }
  return problems;
}

/** A Markdown table of a service's settings with their true defaults. */
export function describeConfig(service: Service): string {
  const json = z.toJSONSchema(schemas[service], { io: 'input', unrepresentable: 'any' });
  const required = new Set(json.required ?? []);
  const rows = Object.entries(json.properties ?? {}).map(([name, property]) => {
    const { description, default: standard } = property as { description?: string; default?: unknown };
    const shown = required.has(name) ? 'required' : `\`${JSON.stringify(standard ?? '')}\``;
    return `| ${name} | ${shown} | ${description ?? ''} |`;
  });
  return [`## ${service}`, '', '| setting | default | meaning |', '|---|---|---|', ...rows].join('\n');
}
