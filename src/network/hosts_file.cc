// /etc/hosts for a container.
#include <algorithm>

#include "base/format.h"
#include "network/resolv_conf.h"

namespace berth::network {
namespace {

/// Names become lines of a file that programs parse: no blanks, no control characters.
bool is_host_name(std::string_view name) {
  return !name.empty() && name.size() <= 255 && std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return c > ' ' && c != '#' && c != 0x7f;
  });
}

Error bad_format(std::string_view entry) {
  return failure(Kind::InvalidArgument, "bad format for add-host: \"{}\"", entry.substr(0, 256));
}

Result<std::string> extra_line(std::string_view entry, const HostsOptions& options) {
  // "name:address", or "name=address" as newer docker writes it; addresses contain colons themselves.
  size_t separator = entry.find_first_of(":=");
  if (separator == entry.npos || separator == 0) return bad_format(entry);
  std::string_view name = entry.substr(0, separator);
  std::string_view address = entry.substr(separator + 1);
  if (!is_host_name(name)) return bad_format(entry);
  if (address == "host-gateway") {
    if (options.host_gateways.empty()) {
      return failure(
          Kind::InvalidArgument,
          "unable to derive the IP value for host-gateway: the container has no network with a gateway");
    }
    std::string lines;
    for (const IpAddress& gateway : options.host_gateways)
      lines += fmt::format("{}\t{}\n", gateway.to_string(), name);
    return lines;
  }
  if (address.starts_with('[') && address.ends_with(']')) address = address.substr(1, address.size() - 2);
  auto parsed = IpAddress::parse(address);
  if (!parsed)
    return failure(Kind::InvalidArgument, "invalid IP address in add-host: \"{}\"", address.substr(0, 64));
  return fmt::format("{}\t{}\n", parsed->to_string(), name);
}

}  // namespace

Result<std::string> make_hosts(const HostsOptions& options) {
  std::string text = "127.0.0.1\tlocalhost\n";
  if (options.ipv6) {
    text +=
        "::1\tlocalhost ip6-localhost ip6-loopback\n"
        "fe00::\tip6-localnet\n"
        "ff00::\tip6-mcastprefix\n"
        "ff02::1\tip6-allnodes\n"
        "ff02::2\tip6-allrouters\n";
  }
  for (const auto& entry : options.extra) {
    TRY(std::string line, extra_line(entry, options));
    text += line;
  }
  for (const auto& [address, names] : options.links)
    text += fmt::format("{}\t{}\n", address.to_string(), names);
  if (!is_host_name(options.hostname)) return text;
  std::string names = options.hostname;
  if (is_host_name(options.domainname)) {
    names = fmt::format("{}.{} {}", options.hostname, options.domainname, options.hostname);
  } else if (size_t dot = options.hostname.find('.'); dot != std::string::npos && dot > 0) {
    names +=
        " " + options.hostname.substr(0, dot);  // a hostname that is qualified is known by its own name too
  }
  for (const auto& address : options.addresses) text += fmt::format("{}\t{}\n", address.to_string(), names);
  return text;
}

}  // namespace berth::network
