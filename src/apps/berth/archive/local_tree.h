// Local files as archives and archives as local files, for `cp`. The archive of a container is hostile:
// nothing of it may land outside the destination.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "apps/berth/archive/copy_path.h"
#include "apps/berth/failure.h"

namespace berth::cli::archive {

/// What a local path to be copied is. Links before the last element are resolved; the last one only with
/// `follow_link`.
Outcome<CopySource> examine_source(const std::string& path, bool follow_link);
/// What a local destination is: links are followed, also when their target does not exist; the parent must.
Outcome<CopyDestination> examine_destination(const std::string& path);
/// docker's checks of where output may go: an existing folder above, nothing special at the place itself.
Outcome<void> check_output_path(const std::string& path);

using WriteBytes = std::function<Outcome<void>(std::string_view)>;
/// The tar archive of a local file or directory, its top entry called `entry_name`.
Outcome<void> write_archive(const CopySource& source, const std::string& entry_name, const WriteBytes& write);

using ReadBytes = std::function<Outcome<std::string_view>()>;
/// Unpacks into the existing directory plan.folder, with renamed entries; owners are those of the caller. A
/// file never takes the place of a directory, nor the other way round.
Outcome<void> read_archive(const CopyPlan& plan, const ReadBytes& read);

}  // namespace berth::cli::archive
