"""Reads an exported graph with FAISS and answers queries with it.

Arguments: index file, queries (float32), dimension, k, ef. Prints one line of JSON: the labels found, a list a query.
"""
import json
import sys

import faiss
import numpy

path, queries, dimension, k, ef = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
index = faiss.read_index(path)
index.hnsw.efSearch = ef
rows = numpy.fromfile(queries, dtype=numpy.float32).reshape(-1, dimension)
_, labels = index.search(rows, k)
print(json.dumps({"count": index.ntotal, "labels": labels.tolist()}))
