// Ports between docker's maps and the network's lists. Pure.
#pragma once

#include <vector>

#include "base/result.h"
#include "engine/records.h"
#include "network/records.h"

namespace berth::engine {

/// HostConfig.PortBindings as requests. InvalidArgument: `invalid port specification: "x"`.
Result<std::vector<network::PortRequest>> port_requests(const spec::PortMap& bindings);

/// What is to be published: the bindings, and with --publish-all every other exposed port.
Result<std::vector<network::PortRequest>> port_requests(const spec::ContainerConfig& config,
                                                        const spec::HostConfig& host);

/// NetworkSettings.Ports: what is published, and exposed ports that are not with an empty list.
spec::PortMap published_ports(const spec::ContainerConfig& config,
                              const std::vector<network::PublishedPort>& published);

}  // namespace berth::engine
