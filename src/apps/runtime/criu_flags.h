// The flags of checkpoint and restore, as runc and crun have them.
#pragma once

#include <string>
#include <vector>

#include "apps/runtime/complaints.h"
#include "apps/runtime/flags.h"
#include "base/result.h"
#include "launch/criu.h"
#include "spec/runtime.h"
#include "sys/fd.h"

namespace berth::runtime {

std::vector<Flag> flags_of_checkpoint();
std::vector<Flag> flags_of_restore();

struct CriuFlags {
  std::string images = "checkpoint";
  std::string work;  ///< empty: where the images are
  bool pre_dump = false;
  int status_fd = -1;           ///< takes a zero byte when pages can be asked for
  launch::CriuOptions options;  ///< what flags say of them
};

/// InvalidArgument names the flag.
Result<CriuFlags> criu_flags(const CommandLine& line);

/// That the annotation which names criu's options has no effect.
void warn_of_criu_annotation(const Complaints& complaints, const spec::RuntimeSpec& spec);

/// Open directories of a checkpoint.
struct CheckpointPlace {
  sys::UniqueFd images;
  sys::UniqueFd work;  ///< none: criu writes its log beside the images
};
enum class PlaceOf { Checkpoint, Restore };
/// For a checkpoint both are made (0700), and --parent-path is looked for. In `flags.options` they are then.
Result<CheckpointPlace> open_place(CriuFlags& flags, PlaceOf purpose);

}  // namespace berth::runtime
