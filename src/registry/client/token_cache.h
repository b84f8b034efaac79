// TokenCache: bearer tokens until they expire, and which scheme a host was last reached by, shared by all
// conversations of one engine. From any thread.
#pragma once

#include <chrono>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "registry/client/challenge.h"

namespace berth::registry {

class TokenCache {
 public:
  /// `key` names registry, scope and credentials.
  std::optional<std::string> find(const std::string& key);
  void put(const std::string& key, const Token& token);
  void forget(const std::string& key);

  /// The scheme ("http") that worked last for host:port, to spare the attempt of the other.
  std::optional<std::string> scheme_of(const std::string& host);
  void worked(const std::string& host, const std::string& scheme);

 private:
  struct Entry {
    std::string value;
    std::chrono::steady_clock::time_point expires;
  };
  std::mutex mutex_;
  std::map<std::string, Entry> tokens_;
  std::map<std::string, std::string> schemes_;
};

}  // namespace berth::registry
