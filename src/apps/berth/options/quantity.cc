// Sizes and cpus.
#include "apps/berth/options/quantity.h"

#include <charconv>
#include <cmath>
#include <string>

#include "base/format.h"

namespace berth::cli::options {
namespace {

Error bad_size(std::string_view text) {
  return failure(Kind::InvalidArgument, "invalid size: '{}'", text);
}

/// Bytes that a suffix stands for; 0 when it is none of b, k, kb, kib, m, ... p.
double unit_of(std::string suffix) {
  for (char& c : suffix) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (suffix.empty() || suffix == "b") return 1;
  size_t power = std::string_view("kmgtp").find(suffix[0]);
  if (power == std::string_view::npos) return 0;
  std::string_view rest = std::string_view(suffix).substr(1);
  if (!rest.empty() && rest != "b" && rest != "ib") return 0;
  return std::pow(1024.0, static_cast<double>(power + 1));
}

struct Decimal {
  int64_t digits = 0;  ///< all digits as one number
  int scale = 0;       ///< how many of them stand after the point
};

/// A non-negative decimal number of at most 12 digits.
bool parse_decimal(std::string_view text, Decimal& decimal) {
  bool point = false;
  size_t digits = 0;
  for (char c : text) {
    if (c == '.' && !point) {
      point = true;
      continue;
    }
    if (c < '0' || c > '9' || ++digits > 12) return false;
    decimal.digits = decimal.digits * 10 + (c - '0');
    if (point) ++decimal.scale;
  }
  return digits > 0;
}

}  // namespace

Result<int64_t> parse_bytes(std::string_view text) {
  size_t last = text.find_last_of("0123456789. ");
  if (last == std::string_view::npos) return bad_size(text);
  std::string_view number = text.substr(0, text[last] == ' ' ? last : last + 1);
  std::string_view suffix = text.substr(last + 1);
  double value = 0;
  auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
  if (error != std::errc() || end != number.data() + number.size()) return bad_size(text);
  if (value < 0 || !std::isfinite(value)) return bad_size(text);
  double unit = unit_of(std::string(suffix));
  if (unit == 0) return failure(Kind::InvalidArgument, "invalid suffix: '{}'", suffix);
  if (value * unit >= 9.2e18) return bad_size(text);
  return static_cast<int64_t>(value * unit);
}

Result<int64_t> parse_cpus(std::string_view text) {
  auto bad = [&] { return failure(Kind::InvalidArgument, "failed to parse {} as a rational number", text); };
  std::string_view unsigned_text = text;
  bool negative = unsigned_text.starts_with('-');
  if (negative || unsigned_text.starts_with('+')) unsigned_text.remove_prefix(1);
  size_t slash = unsigned_text.find('/');
  Decimal numerator;
  Decimal denominator{1, 0};
  if (!parse_decimal(unsigned_text.substr(0, slash), numerator)) return bad();
  if (slash != std::string_view::npos) {
    denominator = {};
    if (!parse_decimal(unsigned_text.substr(slash + 1), denominator) || denominator.digits == 0) return bad();
  }
  // value * 10^9, exact or refused.
  __int128 top = static_cast<__int128>(numerator.digits) * 1'000'000'000;
  __int128 bottom = denominator.digits;
  for (int i = 0; i < numerator.scale; ++i) bottom *= 10;
  for (int i = 0; i < denominator.scale; ++i) top *= 10;
  if (top % bottom != 0) return failure(Kind::InvalidArgument, "value is too precise");
  __int128 billionths = top / bottom;
  if (billionths > INT64_MAX) return bad();
  return negative ? -static_cast<int64_t>(billionths) : static_cast<int64_t>(billionths);
}

}  // namespace berth::cli::options
