// Images from the distribution's packages with files of our own: what `berth bootstrap` makes besides plain
// bases. Who knows of such images (functions/runtimes) registers a recipe; bootstrap() asks the recipes for
// names that it does not know itself.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "spec/image.h"

namespace berth::storage {

/// What an image is made of: the essential packages of the suite, `packages`, and what follows.
struct PackageImage {
  struct File {
    std::string path;  ///< without leading '/'
    std::string content;
    unsigned mode = 0644;
  };
  struct Link {
    std::string path;
    std::string target;
  };
  std::string name;  ///< the image's: "berth/lambda-python3.11"
  std::string suite = "bookworm";
  std::vector<std::string> packages = {};
  std::vector<std::string> directories = {};
  std::vector<File> files = {};
  std::vector<Link> links = {};
  std::vector<std::string> users = {};  ///< lines of /etc/passwd
  spec::ExecutionConfig config = {};
};

/// The image behind a name that `berth bootstrap` is given, if the recipe knows it.
using BootstrapRecipe = std::function<std::optional<PackageImage>(std::string_view name)>;
/// `names` are for the message about what there is. Before the first bootstrap(); loop thread.
void add_bootstrap_recipe(std::vector<std::string> names, BootstrapRecipe recipe);

}  // namespace berth::storage
