// Types of flags: their names and which values they accept.
#include "apps/berth/grammar/flag.h"

#include <charconv>

#include "apps/berth/options/quantity.h"
#include "base/clock.h"
#include "base/format.h"

namespace berth::cli::grammar {
namespace {

/// Go's strconv wording, which users of docker know.
Result<std::string> integer(std::string_view value, std::string_view function, int64_t min, int64_t max) {
  std::string_view digits = value.starts_with('+') ? value.substr(1) : value;
  int64_t number = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error == std::errc::result_out_of_range || (error == std::errc() && (number < min || number > max))) {
    bool negative_unsigned = min == 0 && value.starts_with('-');
    return failure(Kind::InvalidArgument, "strconv.{}: parsing \"{}\": {}", function, value,
                   negative_unsigned ? "invalid syntax" : "value out of range");
  }
  if (error != std::errc() || end != digits.data() + digits.size() || digits.empty()) {
    return failure(Kind::InvalidArgument, "strconv.{}: parsing \"{}\": invalid syntax", function, value);
  }
  return std::to_string(number);
}

Result<std::string> boolean(std::string_view value) {
  for (std::string_view yes : {"1", "t", "T", "TRUE", "true", "True"}) {
    if (value == yes) return std::string("true");
  }
  for (std::string_view no : {"0", "f", "F", "FALSE", "false", "False"}) {
    if (value == no) return std::string("false");
  }
  return failure(Kind::InvalidArgument, "strconv.ParseBool: parsing \"{}\": invalid syntax", value);
}

Result<std::string> filter(std::string_view value) {
  if (!value.empty() && value.find('=') == std::string_view::npos) {
    return failure(Kind::InvalidArgument, "bad format of filter (expected name=value)");
  }
  return std::string(value);
}

Result<std::string> by_type(Type type, std::string_view value) {
  switch (type) {
    case Type::Bool:
      return boolean(value);
    case Type::Int:
      return integer(value, "ParseInt", INT64_MIN, INT64_MAX);
    case Type::Uint16:
      return integer(value, "ParseUint", 0, 65535);
    case Type::Filter:
      return filter(value);
    case Type::Decimal: {
      TRY(int64_t billionths, options::parse_cpus(value));
      return std::to_string(billionths);
    }
    case Type::Bytes:
    case Type::SwapBytes: {
      if (type == Type::SwapBytes && value == "-1") return std::string(value);
      TRY(int64_t bytes, options::parse_bytes(value));
      return std::to_string(bytes);
    }
    case Type::Duration: {
      auto duration = parse_duration(value);
      if (!duration) return failure(Kind::InvalidArgument, "time: invalid duration \"{}\"", value);
      return std::to_string(duration->count());
    }
    default:
      return std::string(value);
  }
}

}  // namespace

std::string_view type_name(Type type) {
  switch (type) {
    case Type::Bool:
      return "";
    case Type::String:
      return "string";
    case Type::List:
      return "list";
    case Type::Strings:
      return "strings";
    case Type::Int:
      return "int";
    case Type::Uint16:
      return "uint16";
    case Type::Decimal:
      return "decimal";
    case Type::Bytes:
    case Type::SwapBytes:
      return "bytes";
    case Type::Duration:
      return "duration";
    case Type::Map:
      return "map";
    case Type::Filter:
      return "filter";
    case Type::Mount:
      return "mount";
    case Type::Network:
      return "network";
    case Type::Ulimit:
      return "ulimit";
    case Type::Gpus:
      return "gpu-request";
  }
  return "";
}

bool repeatable(Type type) {
  switch (type) {
    case Type::List:
    case Type::Strings:
    case Type::Map:
    case Type::Filter:
    case Type::Mount:
    case Type::Network:
    case Type::Ulimit:
    case Type::Gpus:
      return true;
    default:
      return false;
  }
}

Result<std::string> accept(const Flag& flag, std::string_view value) {
  TRY(std::string accepted, by_type(flag.type, value));
  if (flag.check == nullptr) return accepted;
  return flag.check(accepted);
}

}  // namespace berth::cli::grammar
