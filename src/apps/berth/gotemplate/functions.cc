// text/template's functions and docker's.
#include "apps/berth/gotemplate/functions.h"

#include <algorithm>
#include <array>

#include "apps/berth/gotemplate/parser.h"
#include "base/format.h"

namespace berth::cli::gotemplate {
namespace {

using Arguments = std::vector<Value>;
using CallResult = std::expected<Value, CallError>;

std::unexpected<CallError> call_failure(std::string message) {
  return std::unexpected(CallError{CallError::Where::Call, 0, std::move(message)});
}

std::unexpected<CallError> wrong_argument(size_t index, std::string_view expected, const Value& found) {
  std::string shown = found.missing() ? "<nil>" : found.print();
  return std::unexpected(
      CallError{CallError::Where::Argument, index, fmt::format("expected {}; found {}", expected, shown)});
}

/// Signature of a function: how many arguments, and which must be what ('s' string, 'i' integer, '.'
/// anything).
struct Signature {
  std::string_view name;
  size_t min;
  bool variadic;
  std::string_view types;
};

constexpr std::array signatures{
    Signature{"and", 1, true, ""},         Signature{"or", 1, true, ""},
    Signature{"not", 1, false, "."},       Signature{"len", 1, false, "."},
    Signature{"index", 1, true, "."},      Signature{"slice", 1, true, "."},
    Signature{"print", 0, true, ""},       Signature{"println", 0, true, ""},
    Signature{"printf", 1, true, "s"},     Signature{"eq", 1, true, "."},
    Signature{"ne", 2, false, ".."},       Signature{"lt", 2, false, ".."},
    Signature{"le", 2, false, ".."},       Signature{"gt", 2, false, ".."},
    Signature{"ge", 2, false, ".."},       Signature{"html", 0, true, ""},
    Signature{"urlquery", 0, true, ""},    Signature{"json", 1, false, "."},
    Signature{"split", 2, false, "ss"},    Signature{"join", 2, false, ".s"},
    Signature{"title", 1, false, "s"},     Signature{"lower", 1, false, "s"},
    Signature{"upper", 1, false, "s"},     Signature{"pad", 3, false, "sii"},
    Signature{"truncate", 2, false, "si"},
};

const Signature* signature_of(std::string_view name) {
  for (const Signature& signature : signatures) {
    if (signature.name == name) return &signature;
  }
  return nullptr;
}

std::string lower(std::string text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return text;
}

std::string upper(std::string text) {
  for (char& c : text) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return text;
}

std::string title(std::string text) {
  bool start = true;
  for (char& c : text) {
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                  c == '\'' || (c & 0x80) != 0;
    if (start && c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    start = !letter;
  }
  return text;
}

Value split(const std::string& text, const std::string& separator) {
  List parts;
  if (separator.empty()) {
    for (char c : text) parts.emplace_back(std::string(1, c));
    return parts;
  }
  size_t at = 0;
  while (true) {
    size_t end = text.find(separator, at);
    parts.emplace_back(text.substr(at, end == std::string::npos ? end : end - at));
    if (end == std::string::npos) return parts;
    at = end + separator.size();
  }
}

CallResult join(const Value& list, const std::string& separator) {
  std::string text;
  if (list.nil() || list.missing()) return Value(text);
  if (list.list() == nullptr) return wrong_argument(0, "[]string", list);
  for (size_t i = 0; i < list.list()->size(); ++i) {
    if (i > 0) text += separator;
    text += (*list.list())[i].print();
  }
  return Value(text);
}

/// A nil slice or map, which Go treats as an empty one.
bool is_empty_collection(const Value& value) {
  const Nil* nil = value.as<Nil>();
  return nil != nullptr && nil->shown != Nil{}.shown;
}

CallResult length(const Value& value) {
  if (is_empty_collection(value)) return Value(0);
  if (value.string() != nullptr) return Value(static_cast<int64_t>(value.string()->size()));
  if (value.list() != nullptr) return Value(static_cast<int64_t>(value.list()->size()));
  if (value.object() != nullptr) return Value(static_cast<int64_t>(value.object()->fields.size()));
  if (value.nil() || value.missing()) return call_failure("len of nil pointer");
  return call_failure(fmt::format("len of type {}", value.type_name()));
}

CallResult index_once(const Value& item, const Value& key) {
  if (is_empty_collection(item) && key.string() != nullptr) return Value("");
  if (is_empty_collection(item) && key.as<int64_t>() != nullptr) {
    return call_failure(fmt::format("index out of range: {}", *key.as<int64_t>()));
  }
  if (item.nil() || item.missing()) return call_failure("index of nil pointer");
  if (const Object* object = item.object()) {
    if (key.string() == nullptr) {
      return call_failure(fmt::format("value has type {}; should be string", key.type_name()));
    }
    if (object->shape == Shape::Struct || object->shape == Shape::Row) {
      return call_failure(fmt::format("can't index item of type {}", item.type_name()));
    }
    if (const Value* found = find(*object, *key.string())) return *found;
    return object->shape == Shape::StringMap ? Value("") : Value();
  }
  const int64_t* position = key.as<int64_t>();
  size_t size = item.list() != nullptr     ? item.list()->size()
                : item.string() != nullptr ? item.string()->size()
                                           : 0;
  if (item.list() == nullptr && item.string() == nullptr) {
    return call_failure(fmt::format("can't index item of type {}", item.type_name()));
  }
  if (position == nullptr)
    return call_failure(fmt::format("cannot index slice/array with type {}", key.type_name()));
  if (*position < 0 || static_cast<uint64_t>(*position) >= size) {
    return call_failure(fmt::format("index out of range: {}", *position));
  }
  auto offset = static_cast<size_t>(*position);
  if (item.list() != nullptr) return (*item.list())[offset];
  return Value(static_cast<int64_t>(static_cast<unsigned char>((*item.string())[offset])));
}

CallResult index(const Arguments& arguments) {
  Value item = arguments[0];
  for (size_t i = 1; i < arguments.size(); ++i) {
    auto next = index_once(item, arguments[i]);
    if (!next) return next;
    item = *next;
  }
  return item;
}

CallResult slice(const Arguments& arguments) {
  const Value& item = arguments[0];
  if (item.string() == nullptr && item.list() == nullptr) {
    return call_failure(fmt::format("can't slice item of type {}", item.type_name()));
  }
  size_t size = item.list() != nullptr ? item.list()->size() : item.string()->size();
  std::array<size_t, 2> bounds{0, size};
  if (arguments.size() > 3) return call_failure("cannot 3-index slice a string");
  for (size_t i = 1; i < arguments.size(); ++i) {
    const int64_t* bound = arguments[i].as<int64_t>();
    if (bound == nullptr) {
      return call_failure(fmt::format("cannot index slice/array with type {}", arguments[i].type_name()));
    }
    if (*bound < 0 || static_cast<uint64_t>(*bound) > size) {
      return call_failure(fmt::format("index out of range: {}", *bound));
    }
    bounds[i - 1] = static_cast<size_t>(*bound);
  }
  if (bounds[0] > bounds[1]) {
    return call_failure(fmt::format("invalid slice index: {} > {}", bounds[0], bounds[1]));
  }
  if (item.string() != nullptr) return Value(item.string()->substr(bounds[0], bounds[1] - bounds[0]));
  return Value(List(item.list()->begin() + static_cast<long>(bounds[0]),
                    item.list()->begin() + static_cast<long>(bounds[1])));
}

enum class Basic { None, Bool, Number, Float, String };

Basic basic(const Value& value) {
  if (value.as<bool>() != nullptr) return Basic::Bool;
  if (value.as<int64_t>() != nullptr || value.as<uint64_t>() != nullptr) return Basic::Number;
  if (value.as<double>() != nullptr) return Basic::Float;
  if (value.string() != nullptr) return Basic::String;
  return Basic::None;
}

std::expected<bool, CallError> equal(const Value& left, const Value& right) {
  Basic kind = basic(left);
  if (left.nil() || left.missing() || right.nil() || right.missing()) {
    return (left.nil() || left.missing()) && (right.nil() || right.missing());
  }
  if (kind == Basic::None) return call_failure("non-comparable type in comparison");
  if (kind != basic(right)) return call_failure("incompatible types for comparison");
  return left.print() == right.print();
}

std::expected<bool, CallError> less(const Value& left, const Value& right) {
  Basic kind = basic(left);
  if (kind == Basic::None || kind == Basic::Bool) return call_failure("invalid type for comparison");
  if (kind != basic(right)) return call_failure("incompatible types for comparison");
  if (kind == Basic::String) return *left.string() < *right.string();
  if (kind == Basic::Float) return *left.as<double>() < *right.as<double>();
  const int64_t* a = left.as<int64_t>();
  const int64_t* b = right.as<int64_t>();
  if (a != nullptr && b != nullptr) return *a < *b;
  if (a != nullptr || b != nullptr) return a != nullptr;  // only the other is beyond the signed range
  return *left.as<uint64_t>() < *right.as<uint64_t>();
}

CallResult compare(std::string_view name, const Arguments& arguments) {
  if (name == "eq") {
    if (arguments.size() == 1) return call_failure("missing argument for comparison");
    for (size_t i = 1; i < arguments.size(); ++i) {
      auto same = equal(arguments[0], arguments[i]);
      if (!same) return std::unexpected(same.error());
      if (*same) return Value(true);
    }
    return Value(false);
  }
  bool swapped = name == "gt" || name == "le";
  const Value& left = swapped ? arguments[1] : arguments[0];
  const Value& right = swapped ? arguments[0] : arguments[1];
  auto holds = name == "ne" ? equal(left, right) : less(left, right);
  if (!holds) return std::unexpected(holds.error());
  bool negated = name == "ne" || name == "le" || name == "ge";
  return Value(negated ? !*holds : *holds);
}

/// Go's Sprint: spaces between operands when neither is a string.
std::string print(const Arguments& arguments) {
  std::string text;
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (i > 0 && arguments[i].string() == nullptr && arguments[i - 1].string() == nullptr) text += ' ';
    text += arguments[i].print();
  }
  return text;
}

std::string print_line(const Arguments& arguments) {
  std::string text;
  for (size_t i = 0; i < arguments.size(); ++i) text += (i > 0 ? " " : "") + arguments[i].print();
  return text + "\n";
}

std::string escape_html(std::string_view text) {
  std::string out;
  for (char c : text) {
    switch (c) {
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '&':
        out += "&amp;";
        break;
      case '\'':
        out += "&#39;";
        break;
      case '"':
        out += "&#34;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string escape_query(std::string_view text) {
  std::string out;
  for (char c : text) {
    bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                 std::string_view("-_.~").find(c) != std::string_view::npos;
    if (plain) {
      out += c;
    } else if (c == ' ') {
      out += '+';
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

std::expected<void, CallError> check_arguments(const Signature& signature, const Arguments& arguments) {
  if (arguments.size() < signature.min || (!signature.variadic && arguments.size() > signature.min)) {
    return std::unexpected(
        CallError{CallError::Where::Count, 0,
                  fmt::format("wrong number of args for {}: want {}{} got {}", signature.name,
                              signature.variadic ? "at least " : "", signature.min, arguments.size())});
  }
  for (size_t i = 0; i < signature.types.size() && i < arguments.size(); ++i) {
    char type = signature.types[i];
    if (type == 's' && arguments[i].string() == nullptr) return wrong_argument(i, "string", arguments[i]);
    if (type == 'i' && arguments[i].as<int64_t>() == nullptr)
      return wrong_argument(i, "integer", arguments[i]);
  }
  return {};
}

CallResult call_text_function(std::string_view name, const Arguments& arguments) {
  const std::string& text = *arguments[0].string();
  if (name == "split") return split(text, *arguments[1].string());
  if (name == "title") return Value(title(text));
  if (name == "lower") return Value(lower(text));
  if (name == "upper") return Value(upper(text));
  if (name == "pad") {
    if (text.empty()) return Value("");
    auto before = std::clamp<int64_t>(*arguments[1].as<int64_t>(), 0, 4096);
    auto after = std::clamp<int64_t>(*arguments[2].as<int64_t>(), 0, 4096);
    return Value(std::string(static_cast<size_t>(before), ' ') + text +
                 std::string(static_cast<size_t>(after), ' '));
  }
  auto limit = std::max<int64_t>(*arguments[1].as<int64_t>(), 0);
  return Value(text.substr(0, static_cast<size_t>(limit)));
}

bool is_header_function(std::string_view name) {
  constexpr std::array names{"json", "split", "join", "title", "lower", "upper", "truncate"};
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

bool is_function(std::string_view name) {
  return signature_of(name) != nullptr;
}

std::expected<Value, CallError> call(std::string_view name, const Arguments& arguments, FunctionSet set) {
  const Signature* signature = signature_of(name);
  if (signature == nullptr) return call_failure(fmt::format("\"{}\" is not a defined function", name));
  if (auto checked = check_arguments(*signature, arguments); !checked)
    return std::unexpected(checked.error());
  if (set == FunctionSet::Header && is_header_function(name)) return arguments[0];
  if (name == "not") return Value(!arguments[0].truth());
  if (name == "len") return length(arguments[0]);
  if (name == "index") return index(arguments);
  if (name == "slice") return slice(arguments);
  if (name == "print") return Value(print(arguments));
  if (name == "println") return Value(print_line(arguments));
  if (name == "printf") {
    return Value(print_formatted(*arguments[0].string(), Arguments(arguments.begin() + 1, arguments.end())));
  }
  if (name == "html") return Value(escape_html(print(arguments)));
  if (name == "urlquery") return Value(escape_query(print(arguments)));
  if (name == "json") return Value(to_json(arguments[0]));
  if (name == "join") return join(arguments[0], *arguments[1].string());
  if (signature->min == 2 && signature->types == "..") return compare(name, arguments);
  if (name == "eq") return compare(name, arguments);
  return call_text_function(name, arguments);
}

}  // namespace berth::cli::gotemplate
