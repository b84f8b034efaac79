// The table of what is passed on.
#include "apps/berth/ui/routes.h"

#include <algorithm>
#include <array>
#include <vector>

#include "apps/berth/client/http.h"

namespace berth::cli::ui {
namespace {

struct Allowed {
  std::string_view method;
  std::string_view pattern;  ///< '*' is one segment; "**", at the end, the rest with its slashes
  Carriage carriage = Carriage::Whole;
};

constexpr std::array table{
    Allowed{"GET", "/version"},
    Allowed{"GET", "/info"},
    Allowed{"GET", "/metrics"},
    Allowed{"GET", "/containers/json"},
    Allowed{"GET", "/containers/*/json"},
    Allowed{"GET", "/containers/*/top"},
    Allowed{"POST", "/containers/*/start"},
    Allowed{"POST", "/containers/*/stop"},
    Allowed{"POST", "/containers/*/restart"},
    Allowed{"POST", "/containers/*/kill"},
    Allowed{"POST", "/containers/*/pause"},
    Allowed{"POST", "/containers/*/unpause"},
    Allowed{"DELETE", "/containers/*"},
    Allowed{"POST", "/containers/*/exec"},
    Allowed{"POST", "/exec/*/resize"},
    Allowed{"GET", "/exec/*/json"},
    Allowed{"GET", "/images/json"},
    Allowed{"DELETE", "/images/**"},
    Allowed{"GET", "/networks"},
    Allowed{"DELETE", "/networks/*"},
    Allowed{"GET", "/volumes"},
    Allowed{"DELETE", "/volumes/*"},
    Allowed{"GET", "/containers/*/logs", Carriage::Stream},
    Allowed{"GET", "/containers/*/stats", Carriage::Stream},
    Allowed{"GET", "/events", Carriage::Stream},
    Allowed{"GET", "/exec/*/start", Carriage::Terminal},
};

/// "/a/b" -> a, b.
std::vector<std::string_view> segments(std::string_view path) {
  std::vector<std::string_view> result;
  while (path.starts_with('/')) {
    path.remove_prefix(1);
    size_t slash = path.find('/');
    result.push_back(path.substr(0, slash));
    path = slash == std::string_view::npos ? std::string_view() : path.substr(slash);
  }
  return result;
}

bool is_name(std::string_view segment) {
  return !segment.empty() && segment != "." && segment != "..";
}

/// The path for the engine when it has the pattern's form.
std::optional<std::string> translate(std::string_view pattern, std::string_view path) {
  auto wanted = segments(pattern);
  auto given = segments(path);
  bool takes_rest = wanted.back() == "**";
  if (given.size() < wanted.size() || (given.size() > wanted.size() && !takes_rest)) return std::nullopt;
  std::string translated;
  for (size_t i = 0; i < given.size(); ++i) {
    std::string_view form = wanted[std::min(i, wanted.size() - 1)];
    bool fits = form.starts_with('*') ? is_name(given[i]) : given[i] == form;
    if (!fits) return std::nullopt;
    translated += "/" + client::percent_encode(given[i], ":@");
  }
  return translated;
}

}  // namespace

std::optional<EngineRoute> find_engine_route(std::string_view method, std::string_view path,
                                             bool over_websocket) {
  for (const Allowed& allowed : table) {
    bool is_websocket = allowed.carriage != Carriage::Whole;
    if (allowed.method != method || is_websocket != over_websocket) continue;
    if (auto translated = translate(allowed.pattern, path))
      return EngineRoute{allowed.carriage, std::move(*translated)};
  }
  return std::nullopt;
}

}  // namespace berth::cli::ui
