// DryRun: an engine that only seems to do what it is told (--dry-run). What is only read comes from the
// engine; what would change something is noted, and what is read afterwards looks as if it had been done.
#pragma once

#include <map>
#include <mutex>
#include <set>
#include <string>

#include "apps/berth/client/interception.h"
#include "base/json.h"

namespace berth::cli::compose {

class DryRun {
 public:
  /// As a client::Interceptor. From any thread.
  std::optional<Outcome<client::Reply>> answer(const client::Request& request, const client::Ask& ask);
  /// As if the image had been pulled or built.
  void assume_image(const std::string& name);

 private:
  using Answer = std::optional<Outcome<client::Reply>>;
  struct Made {
    std::string name;
    Json body;
  };

  Answer read(const client::Request& request, std::span<const std::string> path, const client::Ask& ask);
  Answer container(const std::string& id, const client::Request& request, const client::Ask& ask);
  Answer containers(const client::Request& request, const client::Ask& ask);
  Answer post(const client::Request& request, std::span<const std::string> path);
  Answer remove(std::span<const std::string> path);
  Answer create_container(const client::Request& request);
  Answer create_resource(const client::Request& request, std::map<std::string, Json>& made);

  std::mutex mutex_;
  std::map<std::string, Made> containers_;     ///< by id
  std::map<std::string, std::string> states_;  ///< of containers, by id; "removed" ones are not there
  std::map<std::string, Json> networks_, volumes_;
  std::set<std::string> gone_;    ///< "networks/NAME"
  std::set<std::string> images_;  ///< whole names
};

}  // namespace berth::cli::compose
