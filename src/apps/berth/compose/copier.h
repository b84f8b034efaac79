// Copier: from a Compose file's values to the API's fields of the same meaning.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "apps/berth/compose/value.h"
#include "base/format.h"
#include "base/json.h"
#include "base/result.h"

namespace berth::cli::compose {

/// Copies texts, numbers, booleans and lists; what is not there is left out, and the first mistake is kept
/// for done().
class Copier {
 public:
  Copier(const Value& from, std::string path, Json& to) : from_(from), path_(std::move(path)), to_(to) {}

  Copier& text(std::string_view key, const char* field) {
    return copy(key, field, [](const Value& value, const std::string& path) -> Result<Json> {
      TRY(std::string text, as_text(value, path));
      return Json(text);
    });
  }
  Copier& flag(std::string_view key, const char* field) {
    return copy(key, field, [](const Value& value, const std::string& path) -> Result<Json> {
      TRY(bool on, as_bool(value, path));
      return Json(on);
    });
  }
  Copier& integer(std::string_view key, const char* field) {
    return copy(key, field, [](const Value& value, const std::string& path) -> Result<Json> {
      TRY(int64_t number, as_int(value, path));
      return Json(number);
    });
  }
  Copier& bytes(std::string_view key, const char* field) {
    return copy(key, field, [](const Value& value, const std::string& path) -> Result<Json> {
      TRY(int64_t number, as_bytes(value, path));
      return Json(number);
    });
  }
  Copier& duration(std::string_view key, const char* field) {
    return copy(key, field, [](const Value& value, const std::string& path) -> Result<Json> {
      TRY(int64_t number, as_duration(value, path));
      return Json(number);
    });
  }
  Copier& texts(std::string_view key, const char* field) {
    return copy(key, field, [](const Value& value, const std::string& path) -> Result<Json> {
      TRY(std::vector<std::string> list, as_texts(value, path));
      return Json(list);
    });
  }
  Copier& map(std::string_view key, const char* field) {
    return copy(key, field, [this, key](const Value&, const std::string&) -> Result<Json> {
      TRY(auto map, text_map_of(from_, key, path_));
      return Json(map);
    });
  }
  Result<void> done() { return std::move(result_); }

 private:
  template <class Read>
  Copier& copy(std::string_view key, const char* field, Read read) {
    const Value* value = from_.find(key);
    if (value == nullptr || !result_) return *this;
    auto json = read(*value, fmt::format("{}.{}", path_, key));
    if (json)
      to_[field] = std::move(*json);
    else
      result_ = json.error();
    return *this;
  }

  const Value& from_;
  std::string path_;
  Json& to_;
  Result<void> result_;
};

}  // namespace berth::cli::compose
