// The processes of a container as `docker top` shows them: titles and rows for the ps options people use,
// read from /proc by berth itself (CVE-2022-1227: no program of the container or the host is run).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace berth::engine {

struct TopTable {
  std::vector<std::string> titles;
  std::vector<std::vector<std::string>> rows;
};

}  // namespace berth::engine
