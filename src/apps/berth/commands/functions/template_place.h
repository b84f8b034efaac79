// Place: one resource of a template, whose properties are read with errors that name file and line.
#pragma once

#include <charconv>
#include <optional>
#include <string>

#include "apps/berth/commands/functions/template.h"
#include "apps/berth/failure.h"
#include "base/format.h"
#include "base/json.h"

namespace berth::cli::commands {

/// A place in the template for errors.
class Place {
 public:
  Place(const Template& document, const TemplateResource& resource)
      : document_(document), resource_(resource) {}
  Failure refuse(std::string_view property, std::string_view message) const {
    auto line = resource_.property_lines.find(std::string(property));
    return Failure::client(
        document_.at(line == resource_.property_lines.end() ? resource_.line : line->second, message)
            .message());
  }
  const TemplateResource& resource() const { return resource_; }
  const Json& properties() const { return *resource_.properties; }

  std::string text(const char* name, std::string fallback = {}) const {
    auto value = properties().find(name);
    return value != properties().end() && value->is_string() ? value->get<std::string>() : fallback;
  }
  Outcome<std::optional<int64_t>> number(const char* name) const {
    auto value = properties().find(name);
    if (value == properties().end()) return std::optional<int64_t>();
    return parse(name, *value);
  }
  Outcome<std::optional<int64_t>> parse(const char* name, const Json& value) const {
    int64_t number = 0;
    const std::string text = value.is_string() ? value.get<std::string>() : std::string();
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (text.empty() || error != std::errc() || end != text.data() + text.size())
      return refuse(name, fmt::format("{} must be a number", name));
    return std::optional<int64_t>(number);
  }

 private:
  const Template& document_;
  const TemplateResource& resource_;
};

inline bool is_true(const Json& object, const char* name, bool fallback) {
  auto value = object.find(name);
  if (value == object.end() || !value->is_string()) return fallback;
  return *value == "true" || *value == "True" || *value == "yes";
}
inline std::string member_text(const Json& object, const char* name) {
  auto value = object.is_object() ? object.find(name) : object.end();
  return object.is_object() && value != object.end() && value->is_string() ? value->get<std::string>()
                                                                           : std::string();
}

/// Null when there is none.
inline Json member_of(const Json& object, const char* name) {
  const Json* found = json_member(object, name);
  return found == nullptr ? Json() : *found;
}

}  // namespace berth::cli::commands
