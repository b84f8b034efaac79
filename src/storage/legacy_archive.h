// Archives that docker before 1.10 saved: a folder for each layer with its tar and a configuration that names
// the parent, and `repositories`, which says what layer a tag means. Internal to storage.
#pragma once

#include <stop_token>
#include <string>
#include <vector>

#include "base/result.h"
#include "spec/reference.h"
#include "storage/archive_spool.h"

namespace berth::storage {

struct LegacyImage {
  std::string config_bytes;         ///< an image configuration of today, made of the layers' own
  std::vector<std::string> layers;  ///< names in the archive, bottom first
  std::vector<spec::Reference> names;
};

/// Those that `repositories` names. What the archive says is checked: ids, the chain of parents (bounded, no
/// circle), that every layer is there. Reads every layer once, for its digest.
Result<std::vector<LegacyImage>> read_legacy_archive(ArchiveSpool& spool, const std::stop_token& stop);

}  // namespace berth::storage
