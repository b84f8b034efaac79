// hosts, hostname and resolv.conf.
#include "engine/container_files.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "sys/file.h"

namespace berth::engine {
namespace {

Result<std::string> plan_hosts(const FileInputs& inputs, bool has_ipv6) {
  const ContainerRecord& record = *inputs.record;
  network::HostsOptions options{.hostname = record.config.hostname,
                                .domainname = record.config.domainname,
                                .extra = record.host_config.extra_hosts,
                                .host_gateways = inputs.host_gateways,
                                .links = inputs.links,
                                .ipv6 = has_ipv6};
  for (const network::EndpointRecord* endpoint : inputs.endpoints) {
    if (endpoint->ipv4) options.addresses.push_back(endpoint->ipv4->address);
    if (endpoint->ipv6) options.addresses.push_back(endpoint->ipv6->address);
  }
  if (!inputs.host_network) return network::make_hosts(options);
  // The host's own names hold in its network namespace; --add-host comes on top.
  options.hostname.clear();
  options.addresses.clear();
  TRY(auto text, network::make_hosts(options));
  if (record.host_config.extra_hosts.empty() && !inputs.host_hosts.empty()) return inputs.host_hosts;
  if (inputs.host_hosts.empty()) return text;
  std::string hosts = inputs.host_hosts;
  if (!hosts.ends_with('\n')) hosts += '\n';
  return hosts + text;
}

Result<void> write_in_place(const std::string& path, std::string_view text) {
  TRY(auto fd, sys::open_file(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0644));
  if (::fchmod(fd.get(), 0644) != 0) return Error::from_errno("chmod", path, errno);
  return sys::write_all(fd.get(), text);
}

}  // namespace

network::DnsOptions dns_options(const ContainerRecord& record) {
  return {.servers = record.host_config.dns,
          .search = record.host_config.dns_search,
          .options = record.host_config.dns_options};
}

Result<ContainerFiles> plan_files(const FileInputs& inputs) {
  const ContainerRecord& record = *inputs.record;
  bool has_ipv6 = false;
  for (const network::EndpointRecord* endpoint : inputs.endpoints) has_ipv6 = has_ipv6 || endpoint->ipv6;
  ContainerFiles files;
  files.hostname = record.config.hostname + "\n";
  TRY(files.hosts, plan_hosts(inputs, has_ipv6));
  network::ResolverView view = inputs.host_network           ? network::ResolverView::HostNamespace
                               : inputs.user_defined_network ? network::ResolverView::EmbeddedDns
                                                             : network::ResolverView::OwnNamespace;
  files.resolv_conf =
      network::make_resolv_conf(inputs.host_resolv_conf, dns_options(record), view, has_ipv6).text;
  return files;
}

Result<void> write_files(const std::string& directory, const ContainerFiles& files) {
  CHECK(write_in_place(directory + "/hostname", files.hostname));
  CHECK(write_in_place(directory + "/hosts", files.hosts));
  return write_in_place(directory + "/resolv.conf", files.resolv_conf);
}

}  // namespace berth::engine
