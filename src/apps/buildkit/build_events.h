// BuildEvents: the events of the engine's build (POST /berth/build), line by line, as vertices that clients
// show.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "apps/buildkit/progress.h"
#include "apps/buildkit/provenance.h"
#include "base/json_fwd.h"
#include "base/result.h"

namespace berth::buildkit {

class BuildEvents {
 public:
  /// Answers what a build asks of its client.
  using Serve = std::function<Result<void>(const Json& event)>;
  struct Naming {
    bool several_stages = false;
    std::string platform = {};  ///< told with every step where builds for several run
  };
  BuildEvents(Progress& progress, Naming naming, Serve serve = {})
      : progress_(progress), naming_(std::move(naming)), serve_(std::move(serve)) {}

  Result<void> feed(std::string_view bytes);

  const std::string& image() const { return image_; }
  const std::string& error() const { return error_; }
  /// Images that the build was made of.
  const std::vector<Material>& materials() const { return materials_; }

 private:
  Result<void> take(std::string_view line);
  Result<void> warn(const Json& event);
  Result<void> begin(const Json& event, int64_t step);
  Result<void> task(const Json& event, bool begins);
  Result<void> transfer(const Json& event, const std::string& vertex);
  Result<void> resolved(const Json& event);
  Result<void> fail(const Json& event);

  Progress& progress_;
  Naming naming_;
  Serve serve_;
  std::string line_;
  std::map<int64_t, std::string> vertices_;
  std::map<std::string, std::string> tasks_;
  std::string last_;
  std::string image_;
  std::string error_;
  std::vector<Material> materials_;
};

/// BuildKit's words for the failure of a RUN, from docker's.
std::string failure_words(const std::string& message);

}  // namespace berth::buildkit
