#include "apps/berth/compose/hashed_json.h"

#include "base/format.h"
#include "base/json.h"

namespace berth::cli::compose {
namespace {

/// Go's encoder writes what means something in HTML, and two separators of lines, by their numbers.
std::string go_text(const std::string& text) {
  std::string out;
  const std::string plain = to_json(Json(text));
  for (size_t i = 0; i < plain.size(); ++i) {
    const char c = plain[i];
    const std::string_view three = std::string_view(plain).substr(i, 3);
    if (c == '<' || c == '>' || c == '&') {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else if (three == "\u2028" || three == "\u2029") {
      out += three == "\u2028" ? "\\u2028" : "\\u2029";
      i += 2;
    } else {
      out += c;
    }
  }
  return out;
}

class Writer {
 public:
  void write(const Value& value, const Shape* shape) {
    if (value.is_list()) return write_list(value, shape);
    if (value.is_map()) return write_map(value, shape);
    const Json scalar = to_json_value(value);
    out += scalar.is_string() ? go_text(value.text) : to_json(scalar);
  }

  std::string out;

 private:
  void write_list(const Value& list, const Shape* shape) {
    std::string_view separator = "[";
    for (const Value& item : list.items) {
      out += separator;
      write(item, shape == nullptr ? nullptr : shape->element);
      separator = ",";
    }
    out += list.items.empty() ? "[]" : "]";
  }

  void write_map(const Value& map, const Shape* shape) {
    std::string_view separator = "{";
    auto member = [&](std::string_view key, const Value& value, const Shape* inner) {
      out += separator;
      out += go_text(std::string(key));
      out += ':';
      write(value, inner);
      separator = ",";
    };
    if (shape != nullptr && shape->keys == Shape::Keys::Known && !shape->fields.empty()) {
      for (const Field& field : shape->fields) {
        auto found = map.members.find(field.key);
        if (found != map.members.end())
          member(field.hashed_as.empty() ? field.key : field.hashed_as, found->second, field.shape);
      }
    } else {
      for (const auto& [key, value] : map.members)
        member(key, value, shape == nullptr ? nullptr : shape->member);
    }
    out += separator == "{" ? "{}" : "}";
  }
};

}  // namespace

std::string hashed_json(const Value& value, const Shape& shape) {
  Writer writer;
  writer.write(value, &shape);
  return std::move(writer.out);
}

}  // namespace berth::cli::compose
