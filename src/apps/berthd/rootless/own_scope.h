// Control groups for an ordinary user's engine: a scope of its own from the user's systemd, as podman asks
// for one per container. Its groups are the user's, with the controllers that the host gives to users.
#pragma once

#include <string>

namespace berth::berthd::rootless {

/// "berth.scope" for the usual runtime directory; another one's engine has a scope of its own.
std::string scope_of(const std::string& exec_root);

/// Moves this process into the engine's scope, which is made where it is not there yet; it lives as long as
/// anything runs in it, so that the next berthd finds the groups of the containers that have outlived this
/// one. For a process that is not root and has not entered its namespaces yet. Returns what keeps the
/// containers without groups, in one line; empty: they have some, or the host has cgroup v1, which users get
/// no part of.
std::string move_to_own_scope(const std::string& exec_root);

}  // namespace berth::berthd::rootless
