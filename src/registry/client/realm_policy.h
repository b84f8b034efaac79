// Whom credentials may go to. A registry says in its answer where tokens are to be had; what it says is not
// believed as it stands (CVE-2020-15157, lookalike hosts). Pure.
#pragma once

#include <string>
#include <vector>

#include "registry/client/settings.h"
#include "registry/client/url.h"
#include "sys/ip_address.h"

namespace berth::registry {

enum class RealmTrust {
  Credentials,  ///< may be given the registry's credentials
  Anonymous,    ///< may be asked for a token, without credentials
  Refused,      ///< not spoken to at all
};

/// The registry itself; a host that the settings name; or, over https on the usual port, a host of the same
/// site (auth.docker.io for registry-1.docker.io). An http realm of an https registry is refused.
RealmTrust judge_realm(const Settings& settings, const Url& registry, const Url& realm);

/// Same registrable domain, judged without a list of suffixes and therefore narrowly: two common labels,
/// three where the second is one of those under which strangers register ("co.uk", "github.io"). Never for
/// addresses.
bool same_site(const std::string& a, const std::string& b);

/// Loopback, private, link-local and other addresses that lead inside: a public registry must not send
/// berth's requests there.
bool is_inner_address(const sys::IpAddress& address);

}  // namespace berth::registry
