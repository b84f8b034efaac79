// bill: what functions and containers have used, and what that would cost by a table of prices.
#include <algorithm>
#include <array>
#include <map>

#include "apps/berth/archive/file_text.h"
#include "apps/berth/client/function_client.h"
#include "apps/berth/commands/commands.h"
#include "apps/berth/commands/functions/prices.h"
#include "apps/berth/grammar/invocation.h"
#include "apps/berth/output/table.h"
#include "apps/berth/output/units.h"
#include "base/json.h"

namespace berth::cli::commands {
namespace {

using client::FunctionClient;
using client::percent_encode;
using grammar::Flag;
using grammar::Invocation;
using grammar::Type;

struct Line {
  uint64_t runs = 0, errors = 0, billed_ms = 0, mebibyte_ms = 0, cpu_us = 0, peak_bytes = 0;
  double cost = 0;
};

uint64_t number(const Json& row, const char* name) {
  return static_cast<uint64_t>(json_int(row, name).value_or(0));
}

/// The key under which a row is summed.
std::string key_of(const Json& row, const std::string& by, const std::string& tag) {
  std::string name = json_string(row, "name").value_or("");
  std::string kind = json_string(row, "kind").value_or("");
  if (by == "day") return json_string(row, "day").value_or("");
  if (by == "version") return fmt::format("{}:{}", name, json_string(row, "version").value_or(""));
  if (by == "tag") {
    std::string value;
    if (row.contains("tags")) value = json_string(row["tags"], tag).value_or("");
    return value.empty() ? fmt::format("(no {})", tag) : value;
  }
  return kind == "container" ? fmt::format("{} (container)", name) : name;
}

Outcome<Prices> prices_of(const Invocation& invocation) {
  if (!invocation.given("prices")) return Prices{};
  TRY(std::string text, archive::read_text(invocation.text("prices"), 1u << 20));
  TRY(Prices prices, read_prices(invocation.text("prices"), text));
  return prices;
}

Outcome<int> bill(Context& context, const Invocation& invocation) {
  std::string by = invocation.text("by"), tag;
  if (by.starts_with("tag:")) {
    tag = by.substr(4);
    by = "tag";
  }
  static constexpr std::array<std::string_view, 4> known{"function", "version", "day", "tag"};
  if (std::find(known.begin(), known.end(), by) == known.end() || (by == "tag" && tag.empty()))
    return refuse("--by {}: it is function, version, day or tag:NAME", invocation.text("by"));
  TRY(Prices prices, prices_of(invocation));
  FunctionClient client(context);
  std::string path = fmt::format("/_berth/usage?from={}&until={}", percent_encode(invocation.text("from")),
                                 percent_encode(invocation.text("until")));
  TRY(Json usage, client.json({.path = path}));
  std::map<std::string, Line> lines;
  Line total;
  const Json* rows = json_member(usage, "rows");
  for (const Json& row : rows != nullptr ? *rows : Json::array()) {
    double cost = cost_of(prices, json_string(row, "kind").value_or(""), number(row, "runs"),
                          number(row, "mebibyteMs"));
    for (Line* line : {&lines[key_of(row, by, tag)], &total}) {
      line->runs += number(row, "runs");
      line->errors += number(row, "errors");
      line->billed_ms += number(row, "billedMs");
      line->mebibyte_ms += number(row, "mebibyteMs");
      line->cpu_us += number(row, "cpuUs");
      line->peak_bytes = std::max(line->peak_bytes, number(row, "peakBytes"));
      line->cost += cost;
    }
  }
  std::string title = by;
  for (char& c : title) c = static_cast<char>(c - 'a' + 'A');
  std::string text = fmt::format("{}\tRUNS\tERRORS\tBILLED\tGB-SECONDS\tCPU\tPEAK\tCOST\n", title);
  lines["TOTAL"] = total;
  auto print = [&](const std::string& name, const Line& line) {
    text += fmt::format(
        "{}\t{}\t{}\t{:.3f}s\t{:.4f}\t{:.3f}s\t{}\t{}{:.8f}\n", output::printable(name), line.runs,
        line.errors, static_cast<double>(line.billed_ms) / 1e3,
        static_cast<double>(line.mebibyte_ms) / 1024 / 1e3, static_cast<double>(line.cpu_us) / 1e6,
        output::binary_size(static_cast<double>(line.peak_bytes)), prices.currency, line.cost);
  };
  for (const auto& [name, line] : lines) {
    if (name != "TOTAL") print(name, line);
  }
  print("TOTAL", total);
  context.out.write(output::align_columns(text, {.min_width = 6, .padding = 3}));
  context.out.print("\nPrices: {}\n", prices.source);
  return 0;
}

constexpr std::array flags{
    Flag{.name = "by",
         .type = Type::String,
         .help = "function, version, day or tag:NAME",
         .fallback = "function"},
    Flag{.name = "from", .type = Type::String, .help = "First day (2026-11-01)"},
    Flag{.name = "prices", .type = Type::String, .help = "File with a table of prices instead of AWS's"},
    Flag{.name = "until", .type = Type::String, .help = "Last day (2026-11-30)"},
};

}  // namespace

const Command bill_command{.usage = "[OPTIONS]",
                           .summary = "Show what functions and containers have used, and its price",
                           .flags = flags,
                           .action = bill};

}  // namespace berth::cli::commands
