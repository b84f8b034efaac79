// Published and exposed ports.
#include "engine/container_ports.h"

#include <charconv>

#include "base/format.h"

namespace berth::engine {
namespace {

bool parse_port(std::string_view digits, uint16_t& port) {
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  return error == std::errc() && end == digits.data() + digits.size() && !digits.empty();
}

Result<network::PortRequest> request_of(const spec::ContainerPort& port, const spec::PortBinding& binding) {
  network::PortRequest request{.container_port = port.port};
  TRY(request.protocol, network::parse_protocol(port.protocol));
  if (!binding.host_ip.empty()) {
    auto address = sys::IpAddress::parse(binding.host_ip);
    if (!address) {
      return failure(Kind::InvalidArgument, "invalid IP address in port binding: \"{}\"", binding.host_ip);
    }
    request.host_ip = *address;
  }
  // "8080", "8000-8010", and docker's "8080/tcp".
  std::string_view ports = binding.host_port;
  ports = ports.substr(0, ports.find('/'));
  if (ports.empty() || ports == "0") return request;
  size_t dash = ports.find('-');
  bool valid = parse_port(ports.substr(0, dash), request.host_port_first);
  request.host_port_last = request.host_port_first;
  if (dash != std::string_view::npos)
    valid = valid && parse_port(ports.substr(dash + 1), request.host_port_last);
  if (!valid || request.host_port_last < request.host_port_first) {
    return failure(Kind::InvalidArgument, "invalid port specification: \"{}\"", binding.host_port);
  }
  return request;
}

}  // namespace

Result<std::vector<network::PortRequest>> port_requests(const spec::PortMap& bindings) {
  std::vector<network::PortRequest> requests;
  for (const auto& [text, list] : bindings) {
    TRY(auto port, spec::parse_container_port(text));
    if (port.port == 0) return failure(Kind::InvalidArgument, "invalid port specification: \"{}\"", text);
    for (const spec::PortBinding& binding : list) {
      TRY(auto request, request_of(port, binding));
      requests.push_back(request);
    }
  }
  return requests;
}

Result<std::vector<network::PortRequest>> port_requests(const spec::ContainerConfig& config,
                                                        const spec::HostConfig& host) {
  TRY(auto requests, port_requests(host.port_bindings));
  // Of an exposed port that is named without a binding ("80/tcp": []) docker publishes any port of the host.
  for (const std::string& text : config.exposed_ports) {
    auto bound = host.port_bindings.find(text);
    bool named = bound != host.port_bindings.end();
    if (named ? !bound->second.empty() : !host.publish_all_ports) continue;
    TRY(auto port, spec::parse_container_port(text));
    TRY(auto request, request_of(port, {}));
    requests.push_back(request);
  }
  return requests;
}

spec::PortMap published_ports(const spec::ContainerConfig& config,
                              const std::vector<network::PublishedPort>& published) {
  spec::PortMap ports;
  for (const std::string& exposed : config.exposed_ports) ports[exposed];
  for (const network::PublishedPort& port : published) {
    std::string key = fmt::format("{}/{}", port.container_port, network::to_string(port.protocol));
    std::string host_port = port.host_port == 0 ? std::string() : std::to_string(port.host_port);
    ports[key].push_back({.host_ip = port.host_ip.to_string(), .host_port = std::move(host_port)});
  }
  return ports;
}

}  // namespace berth::engine
