// The AppArmor profile of containers that name none: "berth-default".
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "launch/host_facts.h"

namespace berth::launch {

constexpr const char* loaded_apparmor_profiles = "/sys/kernel/security/apparmor/profiles";

/// Its text, as apparmor_parser reads it.
std::string apparmor_profile_text();

enum class ProfileState { Loaded, NotLoaded, Unknown };
/// Whether the kernel has a profile of this name; Unknown to those who may not read the list, and of
/// namespaces.
ProfileState apparmor_profile_state(std::string_view name,
                                    const std::string& loaded = loaded_apparmor_profiles);

/// "berth-default" where AppArmor is on and `loaded`, its list, has that profile; else empty.
std::string default_apparmor_profile(const std::string& loaded = loaded_apparmor_profiles);

/// Loads the profile with apparmor_parser, unless AppArmor is off or it has been loaded from the same text
/// since the machine was started. `directory`, on a tmpfs, keeps the text. NotFound: there is no
/// apparmor_parser. Blocks for some tenths of a second.
Result<void> load_default_apparmor_profile(const HostFacts& host, const std::string& directory);

}  // namespace berth::launch
