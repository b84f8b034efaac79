// Template: a SAM template read and its intrinsic functions worked out. Everything is text, list or map
// afterwards; what berth does not know is an error with file and line, never left out in silence. Pure.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/json_fwd.h"
#include "base/result.h"

namespace berth::cli::commands {

/// A resource with its properties resolved: scalars are JSON strings.
struct TemplateResource {
  std::string logical_id;
  std::string type;
  std::shared_ptr<const Json> properties;  ///< an object; Globals are merged in
  unsigned line = 0;
  std::map<std::string, unsigned> property_lines;
};

struct Template {
  std::string file;
  std::vector<TemplateResource> resources;
  /// "template.yaml:12: <message>"
  Error at(unsigned line, std::string_view message) const;
};

struct TemplateContext {
  std::map<std::string, std::string> parameters = {};
  std::string region = "us-east-1";
  std::string account = "000000000000";
  std::string stack = "berth";
};

/// `text` is YAML (JSON is YAML too). InvalidArgument with file, line and the way out.
Result<Template> read_template(const std::string& file, std::string_view text,
                               const TemplateContext& context);

}  // namespace berth::cli::commands
