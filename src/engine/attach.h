// What a client's connection wants of a container's streams, and docker's notation for detach keys.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "launch/streams.h"
#include "sys/fd.h"

namespace berth::engine {

using launch::Framing;

struct Attach {
  sys::UniqueFd socket;       ///< the connection; its HTTP answer has been sent
  std::string received = {};  ///< bytes that were read behind the request
  Framing framing = Framing::Raw;
  bool stream = true;  ///< stay attached
  bool logs = false;   ///< replay the log first
  bool input = false;
  bool output = true;
  bool error = true;
  std::string detach_keys = {};  ///< docker's notation; empty: ctrl-p,ctrl-q with a terminal
};

/// "ctrl-p,ctrl-q", "a,b" as bytes. InvalidArgument: "Invalid detach keys (x) provided".
Result<std::string> parse_detach_keys(std::string_view text);

}  // namespace berth::engine
