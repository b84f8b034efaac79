// The word by which berthd is a short-lived process that runs hooks of a container's creation
// (launch/hooks.h): berthd run-hooks FILE. The daemon itself has threads, and so never forks.
#pragma once

namespace berth::berthd {

inline constexpr char kHooksVerb[] = "run-hooks";

}  // namespace berth::berthd
