// Legacy links (docker run --link): on the default bridge an entry in /etc/hosts and environment variables
// that describe the other container, and its exposed ports where containers do not reach each other else
// (--icc=false). Internal to engine/.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "engine/core.h"

namespace berth::engine {

struct LinkName {
  std::string container;
  std::string alias;
};
/// "container:alias" or "container". InvalidArgument: "bad format for links: x".
Result<LinkName> parse_link(std::string_view text);

/// Address and names of each linked container. WrongState: "Cannot link to a non running container: /a AS b".
Result<std::vector<std::pair<sys::IpAddress, std::string>>> link_addresses(Core& core,
                                                                           const ContainerRecord& record);

/// The running containers that have a link to this one: their /etc/hosts names its address.
std::vector<ContainerHandle> linking_containers(const Core& core, const ContainerRecord& record);

/// Opens the exposed ports of what the container links to, as far as both are on the default bridge by now.
Result<void> open_links(Core& core, const ContainerRecord& record);

/// The running container's links end that lead to `former` by no other name: its record has one less by now.
void close_link(Core& core, const ContainerRecord& record, const LinkName& former);

/// DB_PORT, DB_PORT_5432_TCP_ADDR, DB_NAME, DB_ENV_X, ...
Result<std::vector<std::string>> link_environment(Core& core, const ContainerRecord& record);

/// The variables for one linked container. Pure.
std::vector<std::string> link_variables(const ContainerRecord& other, std::string_view own_name,
                                        std::string_view alias, std::string_view address);

}  // namespace berth::engine
