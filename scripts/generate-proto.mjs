// Generates src/protocol/generated from src/protocol/proto. Run it after changing a .proto file and commit the result:
//   node scripts/generate-proto.mjs            writes
//   node scripts/generate-proto.mjs --check    fails when what is committed differs
//
// A packed `repeated float` and a `bytes` of little-endian float32 are the same on the wire. The codecs are generated
// from a copy in which each `repeated float` reads `bytes`, so that a vector never becomes a list of numbers.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const protoDir = join(root, 'src/protocol/proto');
const generatedDir = join(root, 'src/protocol/generated');
const options = [
  'env=browser',
  'esModuleInterop=true',
  'forceLong=number',
  'oneof=unions',
  'outputJsonMethods=false',
  'outputPartialMethods=false',
  'outputServices=generic-definitions',
  'useOptionals=none',
];

function protoFiles(dir) {
  return readdirSync(dir, { recursive: true })
    .map(String)
    .filter((name) => name.endsWith('.proto'));
}

function generate(outDir) {
  const work = mkdtempSync(join(tmpdir(), 'vectron-proto-'));
  try {
    cpSync(protoDir, work, { recursive: true });
    for (const name of protoFiles(work)) {
      const path = join(work, name);
      writeFileSync(path, readFileSync(path, 'utf8').replaceAll(/\brepeated float\b/g, 'bytes'));
    }
    const bin = join(root, 'node_modules/.bin');
    writeFileSync(join(work, 'buf.yaml'), 'version: v2\n');
    const plugin = { local: join(bin, 'protoc-gen-ts_proto'), out: outDir, opt: options };
    writeFileSync(join(work, 'buf.gen.yaml'), JSON.stringify({ version: 'v2', plugins: [plugin] }));
    execFileSync(join(bin, 'buf'), ['generate'], { cwd: work, stdio: 'inherit' });
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function check() {
  const fresh = mkdtempSync(join(tmpdir(), 'vectron-generated-'));
  try {
    generate(fresh);
    const stale = readdirSync(fresh, { recursive: true })
      .map(String)
      .filter((name) => name.endsWith('.ts'))
      .filter((name) => readFileSync(join(fresh, name), 'utf8') !== readFileSync(join(generatedDir, name), 'utf8'));
    if (stale.length === 0) return;
    console.error(`not what the .proto files say: ${stale.join(', ')}; run node scripts/generate-proto.mjs`);
    process.exitCode = 1;
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

if (process.argv.includes('--check')) {
  check();
} else {
  rmSync(generatedDir, { recursive: true, force: true });
  mkdirSync(generatedDir, { recursive: true });
  generate(generatedDir);
}
