// Authorizer: docker's authorization plugins (AuthZ protocol 1): before a request is handled, and before its
// answer goes out, each plugin is asked and may refuse. Plugins listen on /run/docker/plugins/NAME.sock or at
// the unix address in /etc/docker/plugins/NAME.spec (also /usr/lib/docker/plugins).
//
// What no plugin has seen is not done (CVE-2024-41110, CVE-2019-13139): a JSON body is always read whole and
// shown, whatever Content-Length said; one that is too long to be shown is refused, as is a plugin that does
// not answer.
#pragma once

#include <string>
#include <vector>

#include "api/docker/observed_exchange.h"
#include "base/result.h"
#include "io/event_loop.h"
#include "io/task.h"

namespace berth::api {

class Authorizer {
 public:
  Authorizer(io::EventLoop& loop, std::vector<std::string> plugins)
      : loop_(loop), plugins_(std::move(plugins)) {}

  /// Reads the body that plugins are to see and asks them. Forbidden: "authorization denied by plugin x:
  /// why".
  io::Task<Result<void>> check_request(ObservedExchange& exchange);
  /// Asks about an answer, given what the request was.
  io::Task<Result<void>> check_answer(ObservedExchange& exchange, ObservedExchange::Answer answer);

 private:
  io::Task<Result<void>> ask(std::string call, std::string body);
  io::EventLoop& loop_;
  std::vector<std::string> plugins_;
};

}  // namespace berth::api
