#pragma once
#define NAPI_VERSION 8
#include <node_api.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <new>
#include <string>

#include "../core/failure.h"
#include "../core/shard_index.h"

/** How arguments come out of JavaScript, and results and failures go in. For addon.cc alone. */
namespace {

using vectron::Failure;
using vectron::ShardIndex;

/** A Node-API call failed: an exception is pending, or the thread is going down. */
struct NapiFailed {};

void check(napi_status status) {
  if (status != napi_ok) throw NapiFailed();
}

/** What an external that another addon made does not begin with. */
constexpr uint64_t handleMark = 0x56454354'524f4e21;

struct Handle {
  uint64_t mark;
  std::string key;
  std::shared_ptr<ShardIndex> index;
};

/** A whole number within [0, most]. */
uint64_t wholeOf(double value, const char* field, double most) {
  if (!(value >= 0 && value <= most) || value != std::floor(value)) throw vectron::invalid(field, "out of range");
  return static_cast<uint64_t>(value);
}

template <size_t Count>
struct Arguments {
  Arguments(napi_env env, napi_callback_info info) : env(env) {
    size_t count = Count;
    check(napi_get_cb_info(env, info, &count, values, nullptr, nullptr));
    if (count != Count) throw vectron::invalid("arguments", "wrong number");
  }

  void expect(napi_status status, const char* field, const char* what) const {
    if (status == napi_ok) return;
    if (status == napi_pending_exception || status == napi_generic_failure) throw NapiFailed();
    throw vectron::invalid(field, what);
  }
  double number(size_t i, const char* field) const {
    double value = 0;
    expect(napi_get_value_double(env, values[i], &value), field, "not a number");
    return value;
  }
  /** A whole number within [0, most]. */
  uint64_t whole(size_t i, const char* field, double most) const {
    return wholeOf(number(i, field), field, most);
  }
  std::string text(size_t i, const char* field) const {
    char small[520];
    size_t length = 0;
    expect(napi_get_value_string_utf8(env, values[i], nullptr, 0, &length), field, "not a string");
    if (length < sizeof small) {
      expect(napi_get_value_string_utf8(env, values[i], small, sizeof small, &length), field, "not a string");
      return std::string(small, length);
    }
    std::string long_(length + 1, '\0');
    expect(napi_get_value_string_utf8(env, values[i], long_.data(), long_.size(), &length), field, "not a string");
    long_.resize(length);
    return long_;
  }
  /** Of a file or folder: what lies behind a NUL would be ignored. */
  std::string path(size_t i, const char* field) const {
    const std::string found = text(i, field);
    if (found.find('\0') != std::string::npos) throw vectron::invalid(field, "has a NUL character");
    return found;
  }
  /** The elements of a Float32Array, Float64Array or Uint32Array. */
  template <typename T>
  T* array(size_t i, const char* field, size_t& length) const {
    napi_typedarray_type type;
    void* data = nullptr;
    expect(napi_get_typedarray_info(env, values[i], &type, &length, &data, nullptr, nullptr), field, "not a typed array");
    if (type != typeOf(static_cast<T*>(nullptr)))
      throw vectron::invalid(field, "an array of another type");
    return static_cast<T*>(data);
  }
  Handle& handleNow() const {
    void* data = nullptr;
    expect(napi_get_value_external(env, values[0], &data), "index", "not a handle");
    if (data == nullptr || *static_cast<const uint64_t*>(data) != handleMark) throw vectron::invalid("index", "not a handle");
    return *static_cast<Handle*>(data);
  }
  /** Waits for the end of loading. */
  Handle& handle() const {
    Handle& found = handleNow();
    found.index->whenLoaded();
    return found;
  }

  static napi_typedarray_type typeOf(const float*) { return napi_float32_array; }
  static napi_typedarray_type typeOf(const double*) { return napi_float64_array; }
  static napi_typedarray_type typeOf(const uint32_t*) { return napi_uint32_array; }

  napi_env env;
  napi_value values[Count];
};

/** Runs a call's body and turns whatever it throws into a JavaScript exception. */
template <typename Body>
napi_value guarded(napi_env env, Body body) {
  try {
    return body();
  } catch (const NapiFailed&) {
    bool pending = false;
    if (napi_is_exception_pending(env, &pending) == napi_ok && !pending)
      (void)napi_throw_error(env, "INTERNAL", "a Node-API call failed");
  } catch (const Failure& failure) {
    (void)napi_throw_error(env, failure.code, failure.what());
  } catch (const std::bad_alloc&) {
    (void)napi_throw_error(env, "RESOURCE_EXHAUSTED", "no memory for the index");
  } catch (const std::exception& error) {
    (void)napi_throw_error(env, "INTERNAL", error.what());
  }
  return nullptr;
}

napi_value numberOf(napi_env env, double value) {
  napi_value result = nullptr;
  check(napi_create_double(env, value, &result));
  return result;
}

/** Text without bytes above 127 is the same in Latin-1, which need not be decoded. */
napi_value stringOf(napi_env env, const std::string& value) {
  napi_value result = nullptr;
  if (std::all_of(value.begin(), value.end(), [](char byte) { return static_cast<unsigned char>(byte) < 128; }))
    check(napi_create_string_latin1(env, value.data(), value.size(), &result));
  else
    check(napi_create_string_utf8(env, value.data(), value.size(), &result));
  return result;
}

}  // namespace
