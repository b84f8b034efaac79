// Printing values as Go does.
#include "apps/berth/gotemplate/value.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/format.h"

namespace berth::cli::gotemplate {
namespace {

template <class... Visitors>
struct Overloaded : Visitors... {
  using Visitors::operator()...;
};
template <class... Visitors>
Overloaded(Visitors...) -> Overloaded<Visitors...>;

/// Length of the valid UTF-8 sequence at text[at], or 0.
size_t valid_sequence(std::string_view text, size_t at) {
  auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  unsigned char lead = byte(at);
  if (lead < 0x80) return 1;
  size_t length = lead >= 0xF0 && lead < 0xF5   ? 4
                  : lead >= 0xE0 && lead < 0xF0 ? 3
                  : lead >= 0xC2 && lead < 0xE0 ? 2
                                                : 0;
  if (length == 0 || at + length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xC0) != 0x80) return 0;
  }
  if (lead == 0xE0 && byte(at + 1) < 0xA0) return 0;
  if (lead == 0xED && byte(at + 1) > 0x9F) return 0;
  if (lead == 0xF0 && byte(at + 1) < 0x90) return 0;
  if (lead == 0xF4 && byte(at + 1) > 0x8F) return 0;
  return length;
}

void json_text(std::string& out, std::string_view text, bool escape_html) {
  out += '"';
  for (size_t at = 0; at < text.size();) {
    char c = text[at];
    size_t length = valid_sequence(text, at);
    if (length == 0) {
      out += "\\ufffd";
      ++at;
      continue;
    }
    std::string_view sequence = text.substr(at, length);
    at += length;
    if (sequence == "\u2028" || sequence == "\u2029") {
      out += sequence == "\u2028" ? "\\u2028" : "\\u2029";
    } else if (length > 1) {
      out += sequence;
    } else if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n' || c == '\r' || c == '\t' || c == '\b' || c == '\f') {
      out += '\\';
      out += c == '\n' ? 'n' : c == '\r' ? 'r' : c == '\t' ? 't' : c == '\b' ? 'b' : 'f';
    } else if (static_cast<unsigned char>(c) < 0x20 || (escape_html && (c == '<' || c == '>' || c == '&'))) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  out += '"';
}

std::string json_float(double value) {
  if (!std::isfinite(value)) return "null";
  double magnitude = std::fabs(value);
  char text[64];
  bool exponent = magnitude != 0 && (magnitude < 1e-6 || magnitude >= 1e21);
  auto [end, error] = std::to_chars(text, text + sizeof text, value,
                                    exponent ? std::chars_format::scientific : std::chars_format::fixed);
  return error == std::errc() ? std::string(text, end) : "0";
}

void write_json(std::string& out, const Value& value, bool escape_html);

void write_object(std::string& out, const Object& object, bool escape_html) {
  bool in_order = object.shape == Shape::Struct;
  escape_html = escape_html || object.shape == Shape::Row;
  out += '{';
  bool first = true;
  auto write = [&](const std::pair<std::string, Value>& field) {
    if (field.second.method() != nullptr) return;
    if (!first) out += ',';
    first = false;
    json_text(out, field.first, escape_html);
    out += ':';
    write_json(out, field.second, escape_html);
  };
  if (in_order) {
    const auto& skipped = object.left_out;
    for (const auto& field : object.fields) {
      if (std::find(skipped.begin(), skipped.end(), field.first) == skipped.end()) write(field);
    }
  } else {
    for (const auto* field : sorted_entries(object)) write(*field);
  }
  out += '}';
}

void write_json(std::string& out, const Value& value, bool escape_html) {
  std::visit(Overloaded{
                 [&](Missing) { out += "null"; },
                 [&](Nil) { out += "null"; },
                 [&](bool flag) { out += flag ? "true" : "false"; },
                 [&](int64_t number) { out += fmt::format("{}", number); },
                 [&](uint64_t number) { out += fmt::format("{}", number); },
                 [&](double number) { out += json_float(number); },
                 [&](const std::string& text) { json_text(out, text, escape_html); },
                 [&](const std::shared_ptr<List>& list) {
                   out += '[';
                   for (size_t i = 0; i < list->size(); ++i) {
                     if (i > 0) out += ',';
                     write_json(out, (*list)[i], escape_html);
                   }
                   out += ']';
                 },
                 [&](const std::shared_ptr<Object>& object) { write_object(out, *object, escape_html); },
                 [&](const std::shared_ptr<Method>&) { out += "null"; },
             },
             value.data());
}

std::string print_object(const Object& object) {
  bool is_struct = object.shape == Shape::Struct || object.shape == Shape::Row;
  std::string text = is_struct ? "{" : "map[";
  bool first = true;
  auto add = [&](const std::pair<std::string, Value>& field) {
    if (field.second.method() != nullptr) return;
    if (!first) text += ' ';
    first = false;
    if (!is_struct) text += field.first + ":";
    text += field.second.print();
  };
  if (is_struct) {
    for (const auto& field : object.fields) add(field);
  } else {
    for (const auto* field : sorted_entries(object)) add(*field);
  }
  return text + (is_struct ? "}" : "]");
}

}  // namespace

Value::Value(uint64_t value) : data_(value) {
  if (value <= INT64_MAX) data_ = static_cast<int64_t>(value);
}

const List* Value::list() const {
  auto* pointer = as<std::shared_ptr<List>>();
  return pointer == nullptr ? nullptr : pointer->get();
}

const Object* Value::object() const {
  auto* pointer = as<std::shared_ptr<Object>>();
  return pointer == nullptr ? nullptr : pointer->get();
}

const Method* Value::method() const {
  auto* pointer = as<std::shared_ptr<Method>>();
  return pointer == nullptr ? nullptr : pointer->get();
}

bool Value::truth() const {
  return std::visit(Overloaded{
                        [](Missing) { return false; },
                        [](Nil) { return false; },
                        [](bool flag) { return flag; },
                        [](int64_t number) { return number != 0; },
                        [](uint64_t number) { return number != 0; },
                        [](double number) { return number != 0; },
                        [](const std::string& text) { return !text.empty(); },
                        [](const std::shared_ptr<List>& list) { return !list->empty(); },
                        [](const std::shared_ptr<Object>& object) {
                          return object->shape == Shape::Struct || object->shape == Shape::Row ||
                                 !object->fields.empty();
                        },
                        [](const std::shared_ptr<Method>&) { return true; },
                    },
                    data_);
}

std::string print_float(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  double magnitude = std::fabs(value);
  bool exponent = magnitude != 0 && (magnitude < 1e-4 || magnitude >= 1e21);
  char text[400];
  auto [end, error] = std::to_chars(text, text + sizeof text, value,
                                    exponent ? std::chars_format::scientific : std::chars_format::fixed);
  return error == std::errc() ? std::string(text, end) : "0";
}

std::string Value::print() const {
  return std::visit(Overloaded{
                        [](Missing) { return std::string("<no value>"); },
                        [](Nil nil) { return std::string(nil.shown); },
                        [](bool flag) { return std::string(flag ? "true" : "false"); },
                        [](int64_t number) { return fmt::format("{}", number); },
                        [](uint64_t number) { return fmt::format("{}", number); },
                        [](double number) { return print_float(number); },
                        [](const std::string& text) { return text; },
                        [](const std::shared_ptr<List>& list) {
                          std::string text = "[";
                          for (size_t i = 0; i < list->size(); ++i) {
                            if (i > 0) text += ' ';
                            text += (*list)[i].print();
                          }
                          return text + "]";
                        },
                        [](const std::shared_ptr<Object>& object) { return print_object(*object); },
                        [](const std::shared_ptr<Method>&) { return std::string("<method>"); },
                    },
                    data_);
}

std::string Value::type_name() const {
  return std::visit(Overloaded{
                        [](Missing) { return std::string("interface {}"); },
                        [](Nil) { return std::string("<nil>"); },
                        [](bool) { return std::string("bool"); },
                        [](int64_t) { return std::string("int"); },
                        [](uint64_t) { return std::string("uint64"); },
                        [](double) { return std::string("float64"); },
                        [](const std::string&) { return std::string("string"); },
                        [](const std::shared_ptr<List>&) { return std::string("[]interface {}"); },
                        [](const std::shared_ptr<Object>& object) {
                          return object->type_name.empty() ? std::string("map[string]interface {}")
                                                           : object->type_name;
                        },
                        [](const std::shared_ptr<Method>&) { return std::string("func"); },
                    },
                    data_);
}

const Value* find(const Object& object, std::string_view name) {
  for (const auto& [key, value] : object.fields) {
    if (key == name) return &value;
  }
  return nullptr;
}

std::vector<const std::pair<std::string, Value>*> sorted_entries(const Object& object) {
  std::vector<const std::pair<std::string, Value>*> entries;
  for (const auto& field : object.fields) entries.push_back(&field);
  std::sort(entries.begin(), entries.end(),
            [](auto* left, auto* right) { return left->first < right->first; });
  return entries;
}

std::string to_json(const Value& value) {
  std::string text;
  write_json(text, value, false);
  return text;
}

}  // namespace berth::cli::gotemplate
