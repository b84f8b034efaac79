#include "functions/lineage.h"

#include <algorithm>
#include <charconv>
#include <vector>

#include "base/format.h"

namespace berth::functions {
namespace {

constexpr std::string_view member_name = "Lineage=";
constexpr size_t most_functions = 16;
constexpr uint32_t highest_count = 0x7fff;

struct Run {
  std::string hash;
  uint32_t count = 0;
};

/// FNV-1a of 32 bits: short, and the same in every daemon.
std::string hash_of(std::string_view arn) {
  uint32_t hash = 2'166'136'261U;
  for (char c : arn) hash = (hash ^ static_cast<uint8_t>(c)) * 16'777'619U;
  return fmt::format("{:08x}", hash);
}

/// The next piece of `text` up to `separator`, which is taken off.
std::string_view cut(std::string_view& text, char separator) {
  size_t end = std::min(text.find(separator), text.size());
  std::string_view piece = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return piece;
}

/// Whoever calls may write what they like into a header: what does not fit is left out.
std::vector<Run> parse_runs(std::string_view text) {
  std::vector<Run> runs;
  while (!text.empty() && runs.size() < most_functions) {
    std::string_view piece = cut(text, '|');
    std::string_view hash = cut(piece, ':');
    uint32_t count = 0;
    auto [end, error] = std::from_chars(piece.data(), piece.data() + piece.size(), count);
    bool fits = hash.size() == 8 && error == std::errc{} && end == piece.data() + piece.size() &&
                count <= highest_count;
    if (fits) runs.push_back({std::string(hash), count});
  }
  return runs;
}

struct Header {
  std::string rest;  ///< without lineage
  std::vector<Run> runs;
};

Header parse(std::string_view text) {
  Header header;
  while (!text.empty()) {
    std::string_view piece = cut(text, ';');
    if (piece.starts_with(member_name)) {
      header.runs = parse_runs(piece.substr(member_name.size()));
    } else if (!piece.empty()) {
      header.rest.append(header.rest.empty() ? "" : ";").append(piece);
    }
  }
  return header;
}

}  // namespace

uint32_t runs_of(std::string_view trace_header, std::string_view function_arn) {
  if (trace_header.find(member_name) == std::string_view::npos) return 0;
  std::string hash = hash_of(function_arn);
  for (const Run& run : parse(trace_header).runs) {
    if (run.hash == hash) return run.count;
  }
  return 0;
}

std::string with_run_of(std::string_view trace_header, std::string_view function_arn) {
  Header header = parse(trace_header);
  Run own{hash_of(function_arn), 0};
  for (const Run& run : header.runs) {
    if (run.hash == own.hash) own.count = run.count;
  }
  std::erase_if(header.runs, [&](const Run& run) { return run.hash == own.hash; });
  if (header.runs.size() >= most_functions) header.runs.erase(header.runs.begin());
  own.count = std::min(own.count + 1, highest_count);
  header.runs.push_back(std::move(own));
  std::string text = std::move(header.rest);
  text.append(text.empty() ? "" : ";").append(member_name);
  for (size_t i = 0; i < header.runs.size(); ++i) {
    text.append(i == 0 ? "" : "|").append(header.runs[i].hash).append(":");
    text.append(std::to_string(header.runs[i].count));
  }
  return text;
}

}  // namespace berth::functions
