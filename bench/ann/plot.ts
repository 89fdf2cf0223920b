import type { Figures } from './sides';

export interface Curve {
  readonly name: string;
  readonly points: readonly Figures[];
}

const [width, height, margin] = [720, 460, 60] as const;
const colours = ['#c0392b', '#e08e0b', '#2563a8', '#6b7280'];
/** Misses are drawn on a logarithmic axis, as what matters happens close to no misses at all. */
const missesMost = 0.1;
const missesLeast = 0.001;

const escaped = (text: string): string => text.replace(/&/g, '&amp;').replace(/</g, '&lt;');

/** Queries a second over recall, both logarithmic (recall by what is missed), as an SVG that needs nothing else. */
export function plotOf(title: string, notes: readonly string[], curves: readonly Curve[]): string {
  const shown = curves.map(({ name, points }) => ({ name, points: points.filter(isShown) }));
  const rates = shown.flatMap(({ points }) => points.map(({ micros }) => 1e6 / micros));
  const [low, high] = [Math.log(Math.min(...rates)), Math.log(Math.max(...rates))];
  const x = (recall: number): number =>
    margin + (Math.log(missesMost / (1 - recall)) / Math.log(missesMost / missesLeast)) * (width - 2 * margin);
  const y = (rate: number): number =>
    height - margin - ((Math.log(rate) - low) / (high - low)) * (height - 2.4 * margin);
  const at = ({ recall, micros }: Figures): string => `${x(recall).toFixed(1)},${y(1e6 / micros).toFixed(1)}`;
  const lines = shown.map(({ name, points }, i) => {
    const colour = colours[i % colours.length];
    const label = `<text x="${width - margin - 150}" y="${margin + 18 * i}" fill="${colour}">${escaped(name)}</text>`;
    return `<polyline fill="none" stroke="${colour}" stroke-width="2" points="${points.map(at).join(' ')}"/>${label}`;
  });
  const recalls = [0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999].map(
    (recall) =>
      `<line x1="${x(recall)}" x2="${x(recall)}" y1="${margin - 20}" y2="${height - margin}" stroke="#ddd"/>` +
      `<text x="${x(recall)}" y="${height - margin + 16}" text-anchor="middle">${recall}</text>`,
  );
  const ticks = [1, 2, 5].flatMap((step) => [100, 1_000, 10_000, 100_000].map((unit) => step * unit));
  const rateLines = ticks
    .filter((rate) => Math.log(rate) >= low && Math.log(rate) <= high)
    .map(
      (rate) =>
        `<line x1="${margin}" x2="${width - margin}" y1="${y(rate)}" y2="${y(rate)}" stroke="#eee"/>` +
        `<text x="${margin - 6}" y="${y(rate) + 4}" text-anchor="end">${rate}</text>`,
    );
  const texts = notes.map((note, i) => `<text x="8" y="${height - 22 + 12 * i}" font-size="9">${escaped(note)}</text>`);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${width}" height="${height}" fill="#fff"/><text x="${margin}" y="22" font-size="14">${escaped(title)}</text>`,
    ...recalls,
    ...rateLines,
    ...lines,
    ...texts,
    '</svg>\n',
  ].join('\n');
}

const isShown = ({ recall }: Figures): boolean => 1 - recall <= missesMost && 1 - recall >= missesLeast;
