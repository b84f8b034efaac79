#include "apps/berth/commands/functions/prices.h"

#include <charconv>

#include "base/format.h"

namespace berth::cli::commands {
namespace {

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r'))
    text.remove_suffix(1);
  return text;
}

}  // namespace

Result<Prices> read_prices(const std::string& file, std::string_view text) {
  Prices prices;
  prices.source = file;
  for (unsigned line = 1; !text.empty(); ++line) {
    size_t end = text.find('\n');
    std::string_view row = text.substr(0, end);
    text = end == text.npos ? std::string_view() : text.substr(end + 1);
    row = trimmed(row.substr(0, row.find('#')));
    if (row.empty()) continue;
    size_t equals = row.find('=');
    std::string_view key = trimmed(row.substr(0, equals));
    std::string_view value = equals == row.npos ? std::string_view() : trimmed(row.substr(equals + 1));
    if (key == "currency") {
      prices.currency = std::string(value.substr(0, 8)) + " ";
      continue;
    }
    double* price = key == "function_gb_second"    ? &prices.function_gb_second
                    : key == "function_request"    ? &prices.function_request
                    : key == "container_gb_second" ? &prices.container_gb_second
                                                   : nullptr;
    if (price == nullptr) {
      return failure(Kind::InvalidArgument,
                     "{}:{}: \"{}\" is no price: there are function_gb_second, function_request, "
                     "container_gb_second and currency",
                     file, line, key);
    }
    auto [stop, error] = std::from_chars(value.data(), value.data() + value.size(), *price);
    if (value.empty() || error != std::errc() || stop != value.data() + value.size() || !(*price >= 0)) {
      return failure(Kind::InvalidArgument, "{}:{}: {} must be a number, not \"{}\"", file, line, key, value);
    }
  }
  return prices;
}

double cost_of(const Prices& prices, std::string_view kind, uint64_t runs, uint64_t mebibyte_ms) {
  double gb_seconds = static_cast<double>(mebibyte_ms) / 1024 / 1000;
  if (kind == "container") return gb_seconds * prices.container_gb_second;
  return gb_seconds * prices.function_gb_second + static_cast<double>(runs) * prices.function_request;
}

}  // namespace berth::cli::commands
