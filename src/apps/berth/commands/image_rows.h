// The fields of `images` and `system df -v`. Pure but for the time zone.
#pragma once

#include "apps/berth/commands/container_rows.h"
#include "apps/berth/commands/listing.h"
#include "base/clock.h"
#include "base/json_fwd.h"

namespace berth::cli::commands {

extern const Headings image_headings;

/// One name of an image, as a line of the list.
struct ImageName {
  std::string repository;
  std::string tag;
  std::string digest;
};
enum class Digests { Hide, Show };

bool is_dangling(const Json& image);
/// The lines that an element of GET /images/json has: one per tag (and digest).
std::vector<ImageName> image_names(const Json& image, Digests digests);
RowFields image_row(const Json& image, const ImageName& name, Truncate truncate, Timestamp now);

}  // namespace berth::cli::commands
