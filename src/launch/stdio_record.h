// What a container's first three descriptors were when it was created: what a restore has to give it anew.
// Kept beside the images of a checkpoint as descriptors.json, a list of three texts, as runc has it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace berth::launch {

/// Of our own descriptors 0 to 2: "pipe:[17]", "file[2a:1f]" (mount and inode) of what lies in a filesystem,
/// which criu knows by these names; empty for others.
std::vector<std::string> describe_stdio();

/// Whether criu must be told that it comes from outside ("file[...]").
bool is_outside_file(std::string_view description);
/// Whether a restore can put a descriptor of its own in its place.
bool can_be_given(std::string_view description);

/// In the directory of a checkpoint. No link is followed, and what is there already is replaced.
Result<void> write_descriptors(int directory, const std::vector<std::string>& stdio);
/// 64 KiB and a list of texts, or InvalidArgument: of a checkpoint that somebody hands over.
Result<std::vector<std::string>> read_descriptors(int directory);
Result<std::vector<std::string>> parse_descriptors(std::string_view text);

}  // namespace berth::launch
