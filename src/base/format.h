// The one place that brings in fmt (g++ 12 has no std::format). Its own functions are compiled in format.cc:
// Debian ships libfmt as a shared library alone, and static programs need it too.
#pragma once

#include <fmt/format.h>

#include "base/error.h"

namespace berth {

/// Error with a formatted message: return failure(Kind::NotFound, "No such image: {}", name);
template <class... Args>
Error failure(Kind kind, fmt::format_string<Args...> text, Args&&... args) {
  return Error(kind, fmt::format(text, std::forward<Args>(args)...));
}

}  // namespace berth
