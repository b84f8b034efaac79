// Reading command lines.
#include "apps/runtime/flags.h"

#include <fcntl.h>

#include <cerrno>
#include <charconv>

#include "base/format.h"
#include "sys/file.h"

namespace berth::runtime {
namespace {

const Flag* find_flag(std::span<const Flag> known, std::string_view name, bool is_long) {
  for (const Flag& flag : known) {
    // Callers write "-b" and "--b", "--bundle" and, as Go's flags allow, "-bundle".
    if (flag.name == name) return &flag;
    if (!is_long && name.size() == 1 && flag.letter == name[0]) return &flag;
  }
  return nullptr;
}

}  // namespace

Result<std::string> read_given_file(const std::string& path, size_t max_size) {
  sys::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return Error::from_errno("open", path, errno);
  return sys::read_fd(file.get(), max_size);
}

Result<CommandLine> CommandLine::parse(std::span<const std::string> words, std::span<const Flag> known,
                                       Order order) {
  CommandLine line;
  size_t at = 0;
  for (; at < words.size(); ++at) {
    std::string_view word = words[at];
    if (word.size() < 2 || word[0] != '-') {
      if (order == Order::FlagsFirst) break;
      line.arguments_.emplace_back(word);
      continue;
    }
    if (word == "--") {
      ++at;
      break;
    }
    bool is_long = word[1] == '-';
    word.remove_prefix(is_long ? 2 : 1);
    size_t equals = word.find('=');
    std::string_view name = word.substr(0, equals);
    const Flag* flag = find_flag(known, name, is_long);
    if (flag == nullptr) return failure(Kind::InvalidArgument, "unknown flag: {}", words[at]);
    std::string value = "true";
    if (equals != std::string_view::npos) {
      value = word.substr(equals + 1);
    } else if (flag->kind != FlagKind::Switch) {
      if (++at == words.size())
        return failure(Kind::InvalidArgument, "flag needs a value: {}", words[at - 1]);
      value = words[at];
    }
    line.values_[std::string(flag->name)].push_back(std::move(value));
  }
  line.arguments_.insert(line.arguments_.end(), words.begin() + static_cast<std::ptrdiff_t>(at), words.end());
  return line;
}

bool CommandLine::on(std::string_view flag) const {
  std::string value = text(flag);
  return !value.empty() && value != "false" && value != "0";
}

std::string CommandLine::text(std::string_view flag) const {
  auto found = values_.find(flag);
  return found == values_.end() ? std::string() : found->second.back();
}

std::vector<std::string> CommandLine::list(std::string_view flag) const {
  auto found = values_.find(flag);
  return found == values_.end() ? std::vector<std::string>() : found->second;
}

Result<int64_t> CommandLine::number(std::string_view flag, int64_t fallback) const {
  if (!has(flag)) return fallback;
  std::string value = text(flag);
  int64_t number = 0;
  auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc{} || end != value.data() + value.size())
    return failure(Kind::InvalidArgument, "--{}: \"{}\" is not a number", flag, value);
  return number;
}

Result<std::string> CommandLine::argument(size_t n, std::string_view what) const {
  if (n < arguments_.size()) return arguments_[n];
  return failure(Kind::InvalidArgument, "{} is missing: see \"berth-runtime --help\"", what);
}

}  // namespace berth::runtime
