// What becomes of built images that are more than one image with its names: several platforms, archives,
// files, annotations, pushes (docs/extensions.md: /berth/images/compose).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "apps/berth/context.h"
#include "apps/berth/failure.h"
#include "apps/berth/grammar/invocation.h"
#include "apps/berth/options/build_outputs.h"
#include "base/json_fwd.h"

namespace berth::cli::commands {

class BuildOutputs {
 public:
  struct Built {
    std::string platform;  ///< "linux/arm64"; empty: the host's
    std::string id;
  };

  /// From the flags platform, output, push, load, tag, annotation, metadata-file, provenance and sbom.
  static Outcome<BuildOutputs> create(Context& context, const grammar::Invocation& invocation);

  /// One image that gets its names in the engine: no more than any build does.
  bool is_plain() const;
  /// Those to build for; one empty text: the host's.
  const std::vector<std::string>& platforms() const { return platforms_; }
  /// Names, writes and pushes. The id of the image that has the names.
  Outcome<std::string> deliver(const std::vector<Built>& images);
  /// The metadata file, if one is wanted, of a plain build.
  Outcome<void> tell(const std::string& image);

 private:
  explicit BuildOutputs(Context& context) : context_(context) {}
  Json composition(const std::vector<Built>& images, const std::vector<std::string>& names) const;
  Outcome<void> to_store(const std::vector<Built>& images, const options::BuildOutput& output);
  Outcome<void> to_archive(const std::vector<Built>& images, const options::BuildOutput& output);
  Outcome<void> to_files(const std::vector<Built>& images, const options::BuildOutput& output);
  Outcome<void> copy_files(const std::string& image, const options::BuildOutput& output,
                           const std::string& directory);
  Outcome<void> name(const std::string& image, const std::vector<std::string>& names);
  Outcome<void> push(const std::vector<std::string>& names);
  void remove_unnamed(const std::string& image);

  Context& context_;
  std::vector<std::string> platforms_;
  std::vector<options::BuildOutput> outputs_;
  std::vector<options::BuildAnnotation> annotations_;
  std::vector<std::string> tags_;
  std::string metadata_file_;
  std::map<std::string, std::string> metadata_;
  std::string descriptor_;  ///< of the index or manifest (JSON), where there is one
  std::string image_;       ///< that has the names
  bool has_output_ = false;
};

}  // namespace berth::cli::commands
