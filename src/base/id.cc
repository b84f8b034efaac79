// Random identifiers and names.
#include "base/id.h"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "base/bytes.h"

namespace berth {
namespace {

constexpr std::array adjectives = {"able",  "agile", "airy",  "bold",   "brave",  "brisk", "calm",   "clear",
                                   "deft",  "eager", "fair",  "fleet",  "fond",   "frank", "gentle", "glad",
                                   "grand", "happy", "hardy", "honest", "jolly",  "keen",  "kind",   "level",
                                   "lucid", "merry", "mild",  "neat",   "noble",  "prime", "proud",  "quick",
                                   "quiet", "ready", "sharp", "sound",  "steady", "stout", "sunny",  "swift",
                                   "tidy",  "true",  "vivid", "warm",   "wise",   "witty", "young",  "zesty"};
constexpr std::array surnames = {
    "amundsen", "anning",   "babbage",  "banzan",     "bartok",  "blackwell",  "bohr",     "boole",
    "carson",   "cerf",     "cook",     "curie",      "darwin",  "dijkstra",   "drake",    "erdos",
    "euler",    "faraday",  "fermi",    "gauss",      "germain", "goodall",    "hamilton", "hertz",
    "hopper",   "hypatia",  "johnson",  "kepler",     "knuth",   "lamarr",     "leavitt",  "liskov",
    "lovelace", "magellan", "mccarthy", "meitner",    "mendel",  "nansen",     "newton",   "noether",
    "pascal",   "perlman",  "ritchie",  "shackleton", "shannon", "tereshkova", "thompson", "turing",
    "vera",     "wing"};

std::vector<uint8_t> random_bytes(size_t count) {
  std::vector<uint8_t> bytes(count);
  size_t have = 0;
  while (have < count) {
    ssize_t n = ::getrandom(bytes.data() + have, count - have, 0);
    if (n < 0) continue;  // only EINTR is possible for these sizes
    have += static_cast<size_t>(n);
  }
  return bytes;
}

}  // namespace

std::string random_hex(size_t bytes) {
  return to_hex(random_bytes(bytes));
}

std::string random_id() {
  while (true) {
    std::string id = random_hex(32);
    bool has_letter = std::any_of(id.begin(), id.begin() + 12, [](char c) { return c >= 'a' && c <= 'f'; });
    if (has_letter) return id;
  }
}

std::string random_name() {
  std::vector<uint8_t> bytes = random_bytes(4);
  size_t first = static_cast<size_t>(bytes[0] | bytes[1] << 8) % adjectives.size();
  size_t second = static_cast<size_t>(bytes[2] | bytes[3] << 8) % surnames.size();
  return std::string(adjectives[first]) + "_" + surnames[second];
}

bool is_valid_name(std::string_view name) {
  auto is_alnum = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; };
  if (name.size() < 2 || name.size() > 255 || !is_alnum(name[0])) return false;
  return std::all_of(name.begin() + 1, name.end(),
                     [&](char c) { return is_alnum(c) || c == '_' || c == '.' || c == '-'; });
}

}  // namespace berth
