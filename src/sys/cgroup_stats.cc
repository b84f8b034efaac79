// Statistics files.
#include "sys/cgroup_stats.h"

#include <algorithm>
#include <cctype>
#include <charconv>

namespace berth::sys {
namespace {

/// Cuts the next word off `line`.
std::string_view next_word(std::string_view& line) {
  size_t start = std::min(line.find_first_not_of(" \n"), line.size());
  size_t end = std::min(line.find_first_of(" \n", start), line.size());
  std::string_view word = line.substr(start, end - start);
  line.remove_prefix(end);
  return word;
}

template <class Visit>
void for_each_line(std::string_view text, Visit visit) {
  while (!text.empty()) {
    size_t end = std::min(text.find('\n'), text.size());
    visit(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

bool parse_number(std::string_view word, uint64_t& value) {
  auto [end, status] = std::from_chars(word.data(), word.data() + word.size(), value);
  return status == std::errc() && end == word.data() + word.size();
}

bool parse_device(std::string_view word, uint64_t& major, uint64_t& minor) {
  size_t colon = word.find(':');
  if (colon == word.npos) return false;
  return parse_number(word.substr(0, colon), major) && parse_number(word.substr(colon + 1), minor);
}

}  // namespace

uint64_t parse_cgroup_number(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  if (text == "max") return UINT64_MAX;
  uint64_t value = 0;
  return parse_number(text, value) ? value : 0;
}

std::string_view find_cgroup_value(std::string_view text, std::string_view key) {
  std::string_view found;
  for_each_line(text, [&](std::string_view line) {
    if (next_word(line) == key && found.empty()) found = next_word(line);
  });
  return found;
}

std::map<std::string, uint64_t> parse_flat_keyed(std::string_view text) {
  std::map<std::string, uint64_t> values;
  for_each_line(text, [&](std::string_view line) {
    std::string_view key = next_word(line);
    uint64_t value = 0;
    if (!key.empty() && parse_number(next_word(line), value)) values.emplace(key, value);
  });
  return values;
}

std::vector<uint64_t> parse_number_list(std::string_view text) {
  std::vector<uint64_t> numbers;
  while (!text.empty()) {
    uint64_t value = 0;
    std::string_view word = next_word(text);
    if (!word.empty() && parse_number(word, value)) numbers.push_back(value);
  }
  return numbers;
}

std::vector<CgroupBlockEntry> parse_v1_block_entries(std::string_view text) {
  std::vector<CgroupBlockEntry> entries;
  for_each_line(text, [&](std::string_view line) {
    CgroupBlockEntry entry;
    if (!parse_device(next_word(line), entry.major, entry.minor)) return;
    entry.op = next_word(line);
    if (!parse_number(next_word(line), entry.value)) return;
    std::transform(entry.op.begin(), entry.op.end(), entry.op.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    entries.push_back(std::move(entry));
  });
  return entries;
}

void parse_v2_io_stat(std::string_view text, std::vector<CgroupBlockEntry>& bytes,
                      std::vector<CgroupBlockEntry>& operations) {
  struct Field {
    std::string_view key;
    std::string_view op;
    bool is_bytes;
  };
  static constexpr Field kFields[] = {{"rbytes", "read", true},    {"wbytes", "write", true},
                                      {"dbytes", "discard", true}, {"rios", "read", false},
                                      {"wios", "write", false},    {"dios", "discard", false}};
  for_each_line(text, [&](std::string_view line) {
    CgroupBlockEntry entry;
    if (!parse_device(next_word(line), entry.major, entry.minor)) return;
    while (!line.empty()) {
      std::string_view word = next_word(line);
      size_t equals = word.find('=');
      if (equals == word.npos || !parse_number(word.substr(equals + 1), entry.value)) continue;
      for (const auto& field : kFields) {
        if (word.substr(0, equals) != field.key) continue;
        entry.op = field.op;
        (field.is_bytes ? bytes : operations).push_back(entry);
      }
    }
  });
}

}  // namespace berth::sys
