// What messages about Dockerfiles are made of: source excerpts, suggestions, and the names of signals.
#include <algorithm>
#include <array>

#include "base/format.h"
#include "spec/dockerfile.h"

namespace berth::spec {
namespace {

std::vector<std::string_view> split_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (true) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    lines.push_back(line);
    if (end == std::string_view::npos) return lines;
    text.remove_prefix(end + 1);
  }
}

/// Levenshtein distance, or `limit` when it is no less.
size_t edit_distance(std::string_view a, std::string_view b, size_t limit) {
  const size_t difference = a.size() > b.size() ? a.size() - b.size() : b.size() - a.size();
  if (difference >= limit) return limit;
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return std::min(row[b.size()], limit);
}

constexpr std::array signal_names = {
    "HUP",  "INT",    "QUIT", "ILL",    "TRAP", "ABRT", "BUS",  "FPE",  "KILL", "USR1", "SEGV",  "USR2",
    "PIPE", "ALRM",   "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",   "XCPU",
    "XFSZ", "VTALRM", "PROF", "WINCH",  "IO",   "PWR",  "SYS",  "CLD",  "IOT",  "POLL", "RTMIN", "RTMAX"};

bool is_number_in(std::string_view text, int low, int high) {
  if (text.empty() || text.size() > 3) return false;
  int value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    value = value * 10 + (c - '0');
  }
  return value >= low && value <= high;
}

}  // namespace

std::string source_excerpt(std::string_view file, std::string_view text, LineRange wanted) {
  constexpr uint32_t context_lines = 2;
  constexpr uint32_t most_lines = 24;
  constexpr size_t longest_line = 400;
  const auto lines = split_lines(text);
  const uint32_t count = static_cast<uint32_t>(lines.size());
  if (wanted.first == 0 || wanted.first > count) return {};
  const uint32_t first = wanted.first > context_lines ? wanted.first - context_lines : 1;
  uint32_t last = std::min(std::max(wanted.last, wanted.first) + context_lines, count);
  // The empty "line" after a final newline is no line.
  if (last == count && last > wanted.first && lines.back().empty()) --last;
  last = std::min(last, first + most_lines);
  std::string out = fmt::format("{}:{}\n--------------------\n", file, wanted.first);
  for (uint32_t number = first; number <= last; ++number) {
    const bool is_wanted = number >= wanted.first && number <= wanted.last;
    out += fmt::format(" {:3} | {} {}\n", number, is_wanted ? ">>>" : "   ",
                       lines[number - 1].substr(0, longest_line));
  }
  return out + "--------------------\n";
}

std::string closest_word(std::string_view word, const std::vector<std::string>& options) {
  constexpr size_t longest = 64;
  size_t best = 3;
  std::string found;
  if (word.size() > longest) return found;
  for (const auto& option : options) {
    if (option == word) return {};
    const size_t distance = option.size() > longest ? best : edit_distance(word, option, best);
    if (distance >= best) continue;
    best = distance;
    found = option;
  }
  return found;
}

bool is_valid_signal(std::string_view text) {
  if (is_number_in(text, 1, 64)) return true;
  std::string name(text);
  for (char& c : name) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 32);
  }
  if (name.starts_with("SIG")) name.erase(0, 3);
  if (name.starts_with("RTMIN+")) return is_number_in(std::string_view(name).substr(6), 0, 15);
  if (name.starts_with("RTMAX-")) return is_number_in(std::string_view(name).substr(6), 0, 14);
  return std::find(signal_names.begin(), signal_names.end(), name) != signal_names.end();
}

}  // namespace berth::spec
