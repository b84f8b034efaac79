// Prices: what a gigabyte-second and a request cost. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::cli::commands {

struct Prices {
  double function_gb_second = 0.0000166667;  ///< AWS Lambda, x86, first tier
  double function_request = 0.0000002;
  double container_gb_second = 0;  ///< nobody bills containers on their own machine
  std::string currency = "$";
  std::string source =
      "AWS Lambda's published x86 prices (us-east-1): $0.0000166667 per GB-second, $0.20 per "
      "million requests, without free tier";
};

/// Lines "function_gb_second = 0.00001", "function_request = ...", "container_gb_second = ...", "currency =
/// EUR";
/// '#' comments. InvalidArgument names file and line.
Result<Prices> read_prices(const std::string& file, std::string_view text);

/// Of `runs` runs with together `mebibyte_ms` billed mebibyte-milliseconds. `kind`: "function" or
/// "container".
double cost_of(const Prices& prices, std::string_view kind, uint64_t runs, uint64_t mebibyte_ms);

}  // namespace berth::cli::commands
