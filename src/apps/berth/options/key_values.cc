// Environment and labels.
#include "apps/berth/options/key_values.h"

#include <cstdlib>

#include "apps/berth/archive/file_text.h"
#include "base/format.h"
#include "base/utf8.h"

namespace berth::cli::options {
namespace {

constexpr size_t max_file = 16u << 20;
constexpr std::string_view blanks = " \t";

}  // namespace

std::map<std::string, std::string> to_map(const std::vector<std::string>& flags) {
  std::map<std::string, std::string> map;
  for (const std::string& flag : flags) {
    size_t equals = flag.find('=');
    map[flag.substr(0, equals)] = equals == std::string::npos ? "" : flag.substr(equals + 1);
  }
  return map;
}

Result<std::vector<std::string>> parse_key_values(std::string_view text, std::string_view file,
                                                  Lookup lookup) {
  auto bad = [&](std::string_view why) {
    return failure(Kind::InvalidArgument, "invalid env file ({}): {}", file, why);
  };
  std::vector<std::string> lines;
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  for (size_t number = 1; !text.empty(); ++number) {
    size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!is_utf8(line)) return bad(fmt::format("invalid utf8 bytes at line {}", number));
    size_t start = line.find_first_not_of(" \t\v\f\r");
    if (start == std::string_view::npos || line[start] == '#') continue;
    line.remove_prefix(start);
    size_t equals = line.find('=');
    std::string key(line.substr(0, equals));
    if (key.empty()) return bad(fmt::format("no variable name on line '{}'", line));
    if (key.find_first_of(blanks) != std::string::npos)
      return bad(fmt::format("variable '{}' contains whitespaces", key));
    if (equals != std::string_view::npos) {
      lines.emplace_back(line);
    } else if (lookup == Lookup::Environment) {
      if (const char* value = std::getenv(key.c_str())) lines.push_back(fmt::format("{}={}", key, value));
    }
  }
  return lines;
}

Result<std::vector<std::string>> read_key_values(const std::vector<std::string>& files,
                                                 const std::vector<std::string>& flags, Lookup lookup) {
  std::vector<std::string> all;
  for (const std::string& file : files) {
    TRY(std::string text, archive::read_text(file, max_file));
    TRY(auto lines, parse_key_values(text, file, lookup));
    all.insert(all.end(), lines.begin(), lines.end());
  }
  all.insert(all.end(), flags.begin(), flags.end());
  return all;
}

Result<std::string> check_environment(std::string_view value) {
  size_t equals = value.find('=');
  std::string key(value.substr(0, equals));
  if (key.empty()) return failure(Kind::InvalidArgument, "invalid environment variable: {}", value);
  if (equals != std::string_view::npos) return std::string(value);
  const char* own = std::getenv(key.c_str());
  return own == nullptr ? key : fmt::format("{}={}", key, own);
}

Result<std::string> check_label(std::string_view value) {
  std::string_view key = value.substr(0, value.find('='));
  size_t start = key.find_first_not_of(blanks);
  if (start == std::string_view::npos)
    return failure(Kind::InvalidArgument, "invalid label '{}': empty name", value);
  key.remove_prefix(start);
  if (key.find_first_of(blanks) != std::string_view::npos) {
    return failure(Kind::InvalidArgument, "label '{}' contains whitespaces", key);
  }
  return std::string(value);
}

Result<std::string> check_pair(std::string_view value) {
  size_t equals = value.find('=');
  if (equals == std::string_view::npos || equals == 0) {
    return failure(Kind::InvalidArgument, "invalid key value pair format in driver options");
  }
  return std::string(value);
}

}  // namespace berth::cli::options
