// Pulling an image, for `pull` and for `run` and `create` of an image that is not there.
#pragma once

#include <string>

#include "apps/berth/context.h"
#include "apps/berth/output/progress.h"

namespace berth::cli::commands {

struct Pull {
  std::string image;  ///< as the user wrote it
  std::string platform;
  bool all_tags = false;
  bool all_platforms = false;
  output::Progress::Quiet quiet = output::Progress::Quiet::No;
};

/// POST /images/create with progress on `out`.
Outcome<void> pull_image(Context& context, output::Stream& out, const Pull& pull);

}  // namespace berth::cli::commands
