#pragma once
#include <stdexcept>
#include <string>

namespace vectron {

/** Everything the core throws on purpose. `code` is a code of the error catalogue; the message names the field first. */
class Failure : public std::runtime_error {
 public:
  Failure(const char* code, const std::string& message) : std::runtime_error(message), code(code) {}
  const char* const code;
};

inline Failure invalid(const char* field, const std::string& why) {
  return Failure("INVALID_ARGUMENT", std::string(field) + ": " + why);
}

}  // namespace vectron
