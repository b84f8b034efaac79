// Default limits of the daemon's command line.
#include "engine/ulimits.h"

#include <charconv>

#include "base/format.h"

namespace berth::engine {
namespace {

bool parse_number(std::string_view text, int64_t& value) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && value >= -1;
}

}  // namespace

Result<spec::Ulimit> parse_ulimit(std::string_view text) {
  auto bad = [&] { return failure(Kind::InvalidArgument, "invalid ulimit argument: {}", text); };
  size_t equals = text.find('=');
  if (equals == 0 || equals == std::string_view::npos) return bad();
  spec::Ulimit limit{.name = std::string(text.substr(0, equals))};
  std::string_view values = text.substr(equals + 1);
  size_t colon = values.find(':');
  if (!parse_number(values.substr(0, colon), limit.soft)) return bad();
  limit.hard = limit.soft;
  if (colon != std::string_view::npos && !parse_number(values.substr(colon + 1), limit.hard)) return bad();
  return limit;
}

}  // namespace berth::engine
