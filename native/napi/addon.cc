#include "../core/builders.h"
#include "../core/graph_file.h"
#include "../core/registry.h"
#include "../core/savers.h"
#include "arguments.h"

/**
 * Glue between JavaScript and the core, in plain Node-API. Every status is checked: in a thread that is being terminated
 * any call may fail, and then the only right answer is to return. Failures become errors whose `code` is ours.
 */
namespace {

using vectron::Options;
using vectron::Registry;

/** -1 for none. */
napi_value labelOf(napi_env env, uint32_t label) {
  return numberOf(env, label == vectron::noLabel ? -1 : static_cast<double>(label));
}

constexpr double safeInteger = 9007199254740991.0;

/**
 * (key, dimension, metric, m, efConstruction, capacity, threshold, path, folder, quantised) to a handle. Threshold 0: ours. Folder
 * empty: vectors in memory.
 */
napi_value open(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments<10> args(env, info);
    Options options;
    options.dimension = static_cast<uint32_t>(args.whole(1, "dimension", vectron::dimensionMax));
    options.metric = static_cast<vectron::Metric>(args.whole(2, "metric", 2));
    options.m = static_cast<uint32_t>(args.whole(3, "m", vectron::mMax));
    options.efConstruction = static_cast<uint32_t>(args.whole(4, "efConstruction", vectron::efConstructionMax));
    options.capacity = args.whole(5, "capacity", INT32_MAX);
    options.threshold = args.whole(6, "threshold", INT32_MAX);
    options.folder = args.path(8, "folder");
    options.quantised = args.whole(9, "quantised", 1) != 0;
    vectron::checkOptions(options);
    if (options.threshold == 0) options.threshold = vectron::graphThreshold(options.dimension);
    const std::string key = args.text(0, "key");
    auto handle = std::make_unique<Handle>(Handle{handleMark, key, Registry::instance().open(key, options, args.path(7, "path"))});
    napi_value external;
    check(napi_create_external(
        env, handle.get(), [](napi_env, void* data, void*) { delete static_cast<Handle*>(data); }, nullptr, &external));
    (void)handle.release();
    return external;
  });
}

/** (index, id, version, vector) to the label or -1 */
napi_value put(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments<4> args(env, info);
    size_t length = 0;
    const float* const vector = args.array<float>(3, "vector", length);
    const auto version = static_cast<int64_t>(args.whole(2, "version", safeInteger));
    return labelOf(env, args.handle().index->put(args.text(1, "id"), version, vector, length));
  });
}

/** (index, id, version) to the label that is free now, or -1 */
napi_value remove(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments<3> args(env, info);
    const auto version = static_cast<int64_t>(args.whole(2, "version", safeInteger));
    return labelOf(env, args.handle().index->remove(args.text(1, "id"), version));
  });
}

/** (index, id) to the label or -1. */
napi_value labelOf(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments<2> args(env, info);
    return labelOf(env, args.handle().index->labelOf(args.text(1, "id")));
  });
}

/** (index, label) to the id, or undefined. */
napi_value idOf(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments<2> args(env, info);
    std::string id;
    const auto label = static_cast<uint32_t>(args.whole(1, "label", UINT32_MAX));
    return args.handle().index->idOf(label, id) ? stringOf(env, id) : nullptr;
  });
}

/** (index, id) to the version or -1. */
napi_value versionOf(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments<2> args(env, info);
    return numberOf(env, static_cast<double>(args.handle().index->versionOf(args.text(1, "id"))));
  });
}

/** (index, budgetMicros) to what is left. */
napi_value link(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments<2> args(env, info);
    return numberOf(env, static_cast<double>(args.handle().index->link(args.whole(1, "budgetMicros", safeInteger))));
  });
}

/** What the figures of a search mean on the way in, and on the way out. */
enum Asked { askedEf, askedExact, askedSetKind, askedStrategy, askedDistancesMax, askedUnquantised };
enum Told { toldStrategy, toldFellBack, toldDistances, toldVisited, toldMatches, toldMicros, figuresCount };
enum SetKind { noSet, setWords, setLabels, setKindLast = setLabels };

vectron::LabelSet setOf(const uint32_t* values, size_t length, uint64_t kind) {
  return kind == setWords ? vectron::LabelSet{values, nullptr, length} : vectron::LabelSet{nullptr, values, length};
}

/** (index) to null while its file is being loaded, then to why that was not used: '' if it was, or if there is none. */
napi_value loaded(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments<1> args(env, info);
    const ShardIndex& index = *args.handleNow().index;
    if (!index.isLoading()) return stringOf(env, index.refused());
    napi_value null;
    check(napi_get_null(env, &null));
    return null;
  });
}

/** (index): builder threads link what is unlinked. Returns at once. */
napi_value linkInBackground(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments<1> args(env, info);
    vectron::Builders::instance().build(args.handle().index);
    return nullptr;
  });
}

/** (index, query, k, set, scores, figures) to ids. Fills scores; figures are as in Asked, then as in Told. */
napi_value search(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments<6> args(env, info);
    size_t setLength = 0, scoresLength = 0, figuresLength = 0;
    vectron::Request request;
    request.query = args.array<float>(1, "query", request.length);
    request.k = static_cast<uint32_t>(args.whole(2, "k", vectron::kMax));
    const uint32_t* const set = args.array<uint32_t>(3, "allowed", setLength);
    float* const scores = args.array<float>(4, "scores", scoresLength);
    double* const figures = args.array<double>(5, "figures", figuresLength);
    if (scoresLength < request.k || figuresLength < figuresCount) throw vectron::invalid("scores", "too short");
    request.ef = static_cast<uint32_t>(wholeOf(figures[askedEf], "ef", vectron::efMax));
    request.exact = figures[askedExact] != 0;
    request.unquantised = figures[askedUnquantised] != 0;
    const uint64_t kind = wholeOf(figures[askedSetKind], "allowed", setKindLast);
    const vectron::LabelSet allowed = setOf(set, setLength, kind);
    if (kind != noSet) request.allowed = &allowed;
    request.strategy =
        static_cast<vectron::Strategy>(wholeOf(figures[askedStrategy], "strategy", vectron::strategyLast));
    request.distancesMax = wholeOf(figures[askedDistancesMax], "distancesMax", safeInteger);
    const vectron::Hits hits = args.handle().index->search(request);
    napi_value ids;
    check(napi_create_array_with_length(env, hits.ids.size(), &ids));
    for (size_t i = 0; i < hits.ids.size(); i++) {
      check(napi_set_element(env, ids, static_cast<uint32_t>(i), stringOf(env, hits.ids[i])));
      scores[i] = hits.scores[i];
    }
    figures[toldStrategy] = static_cast<double>(hits.strategy);
    figures[toldFellBack] = hits.fellBack ? 1 : 0;
    figures[toldDistances] = static_cast<double>(hits.distances);
    figures[toldVisited] = static_cast<double>(hits.visited);
    figures[toldMatches] = static_cast<double>(hits.matches);
    figures[toldMicros] = hits.micros;
    return ids;
  });
}

/** (index, out): out gets [live, unlinked, tombstones, bytes, appliedIndex, labels, recallExpected, recallFound]. */
napi_value stats(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments<2> args(env, info);
    size_t length = 0;
    double* const out = args.array<double>(1, "out", length);
    if (length < 8) throw vectron::invalid("out", "too short");
    ShardIndex& index = *args.handle().index;
    const vectron::Stats stats = index.stats();
    out[0] = stats.live;
    out[1] = stats.unlinked;
    out[2] = stats.tombstones;
    out[3] = stats.bytes;
    out[4] = index.appliedIndex();
    out[5] = stats.labels;
    out[6] = stats.recallExpected;
    out[7] = stats.recallFound;
    return nullptr;
  });
}

/** (index, appliedIndex) */
napi_value setAppliedIndex(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments<2> args(env, info);
    args.handle().index->setAppliedIndex(static_cast<double>(args.whole(1, "appliedIndex", safeInteger)));
    return nullptr;
  });
}

/** (index, path) */
napi_value save(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments<2> args(env, info);
    args.handle().index->save(args.path(1, "path"));
    return nullptr;
  });
}

/** (index, path): a thread of its own writes it. Returns at once. */
napi_value saveInBackground(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments<2> args(env, info);
    vectron::Savers::instance().save(args.handle().index, args.path(1, "path"));
    return nullptr;
  });
}

/** (index) to the applied index of the file that was written, to why it was not, or to undefined: nothing new. */
napi_value takeSaved(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments<1> args(env, info);
    const vectron::Saved saved = args.handle().index->takeSaved();
    if (!saved.done) return nullptr;
    return saved.failure.empty() ? numberOf(env, saved.appliedIndex) : stringOf(env, saved.failure);
  });
}

/** (index) */
napi_value destroy(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments<1> args(env, info);
    const Handle& handle = args.handle();
    Registry::instance().destroy(handle.key, handle.index);
    return nullptr;
  });
}

/** (key) */
napi_value drop(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments<1> args(env, info);
    Registry::instance().drop(args.text(0, "key"));
    return nullptr;
  });
}

/** () to what all indexes of the process take. */
napi_value bytes(napi_env env, napi_callback_info) {
  return guarded(env, [&] { return numberOf(env, Registry::instance().bytes()); });
}

/** (path, target): copies the FAISS part of a graph file. */
napi_value extractFaiss(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments<2> args(env, info);
    vectron::GraphFile::extractFaiss(args.path(0, "path"), args.path(1, "target"));
    return nullptr;
  });
}

napi_value init(napi_env env, napi_value exports) {
  return guarded(env, [&] {
    const struct {
      const char* name;
      napi_callback call;
    } functions[] = {{"open", open},       {"put", put},   {"remove", remove},
                     {"versionOf", versionOf}, {"link", link}, {"loaded", loaded}, {"linkInBackground", linkInBackground}, {"search", search},
                     {"stats", stats},     {"setAppliedIndex", setAppliedIndex}, {"save", save}, {"saveInBackground", saveInBackground}, {"takeSaved", takeSaved},
                     {"labelOf", labelOf}, {"idOf", idOf},
                     {"destroy", destroy}, {"drop", drop}, {"bytes", bytes}, {"extractFaiss", extractFaiss}};
    for (const auto& function : functions) {
      napi_value value;
      check(napi_create_function(env, function.name, NAPI_AUTO_LENGTH, function.call, nullptr, &value));
      check(napi_set_named_property(env, exports, function.name, value));
    }
    check(napi_set_named_property(env, exports, "kernel", stringOf(env, vectron::kernels().name)));
    return exports;
  });
}

}  // namespace

NAPI_MODULE(vectron_native, init)
