// Flag: one declared option of a command. Tables of flags are constant data, so that declaring a hundred of
// them costs nothing at start-up; help texts are generated from them.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::cli::grammar {

/// What a flag takes. The name shown in help follows from it (type_name).
enum class Type {
  Bool,       ///< no argument; --flag=false turns it off
  String,     ///< the last one wins
  List,       ///< repeatable, each occurrence one element
  Strings,    ///< repeatable and comma separated
  Int,        ///< signed 64 bits
  Uint16,     ///< 0 to 65535
  Decimal,    ///< --cpus
  Bytes,      ///< "512m"
  SwapBytes,  ///< the same, or -1
  Duration,   ///< "1m30s"
  Map,        ///< repeatable key=value
  Filter,     ///< repeatable name=value
  Mount,
  Network,
  Ulimit,
  Gpus,
};

enum class Visibility { Shown, Hidden };

/// Checks one occurrence of a flag when the command line is read and returns what to keep of it. The message
/// of an error becomes `invalid argument "x" for "--flag" flag: <message>`.
using Check = Result<std::string> (*)(std::string_view value);

struct Flag {
  char letter = 0;  ///< 0: no short form
  std::string_view name;
  Type type = Type::Bool;
  std::string_view help;
  /// Value when the flag is not given; shown in help unless it is empty or the type's zero.
  std::string_view fallback = {};
  Check check = nullptr;
  Visibility visibility = Visibility::Shown;
};

using Flags = std::span<const Flag>;

/// The word that stands for the argument in help ("string", "bytes", ...); empty for Bool.
std::string_view type_name(Type type);
/// True when every occurrence counts, not only the last.
bool repeatable(Type type);
/// Checks `value` against the flag's type and its own check.
Result<std::string> accept(const Flag& flag, std::string_view value);

}  // namespace berth::cli::grammar
