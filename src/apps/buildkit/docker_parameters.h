// The parameters of POST /build?version=2 as BuildKit's frontend attributes and exporter. Pure.
#pragma once

#include <string>

#include "apps/buildkit/exporters.h"
#include "apps/buildkit/parameters.h"
#include "base/json_fwd.h"
#include "base/result.h"

namespace berth::buildkit {

struct DockerBuild {
  std::string session;   ///< id of the client's; may be empty
  std::string build_id;  ///< the client's name for this request; may be empty
  enum class Context {
    Body,
    Upload,
    Other
  };  ///< Upload: the body of another request; Other: the attributes'
  Context context = Context::Body;
  bool is_upload = false;  ///< this request only brings the body of the one that has `build_id`
  bool quiet = false;      ///< the image's id instead of progress
  Attributes attributes = {};
  ExportRequest exporter = {};
};

/// `query` is {"name": ["value", ...]}. InvalidArgument names the parameter.
Result<DockerBuild> parse_docker_build(const Json& query);

}  // namespace berth::buildkit
