// Merging Compose files: what a later file (or an extending service) says over an earlier one. Both are
// normalised.
#pragma once

#include "apps/berth/compose/value.h"
#include "base/result.h"

namespace berth::cli::compose {

/// Maps merge, lists append without repeating, other values replace; command, entrypoint, healthcheck.test
/// and the like replace as a whole; ports, volumes, secrets and configs are told apart by what they are for.
/// !reset removes, !override replaces. Pure.
Value merge_files(Value base, Value over);
Value merge_services(Value base, Value over);
/// What a list of a service says twice counts once, as docker's compose has it: before the long forms are
/// there what is written alike, afterwards what is for the same thing, of which the last holds.
void drop_repeated(Value& file);
void fold_lists(Value& file);
/// Removes members that are marked !reset, once everything is merged.
void drop_reset(Value& value);

}  // namespace berth::cli::compose
