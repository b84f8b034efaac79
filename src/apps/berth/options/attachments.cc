// Reading --network.
#include "apps/berth/options/attachments.h"

#include <charconv>

#include "apps/berth/options/csv.h"
#include "base/format.h"

namespace berth::cli::options {
namespace {

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return result;
}

std::string trimmed(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return std::string(text);
}

Result<void> set(Attachment& attachment, const std::string& key, const std::string& value) {
  if (key == "name") {
    attachment.network = value;
  } else if (key == "alias") {
    attachment.aliases.push_back(value);
  } else if (key == "ip") {
    attachment.ip = value;
  } else if (key == "ip6") {
    attachment.ip6 = value;
  } else if (key == "mac-address") {
    attachment.mac = value;
  } else if (key == "link-local-ip") {
    attachment.link_local_ips.push_back(value);
  } else if (key == "driver-opt") {
    size_t equals = value.find('=');
    if (equals == std::string::npos || equals == 0) {
      return failure(Kind::InvalidArgument, "invalid key value pair format in driver options");
    }
    attachment.driver_options[trimmed(value.substr(0, equals))] = trimmed(value.substr(equals + 1));
  } else if (key == "gw-priority") {
    auto [end, error] =
        std::from_chars(value.data(), value.data() + value.size(), attachment.gateway_priority);
    if (error != std::errc() || end != value.data() + value.size()) {
      return failure(Kind::InvalidArgument, "invalid gw-priority ({}): invalid syntax", value);
    }
  } else {
    return failure(Kind::InvalidArgument, "invalid field key {}", key);
  }
  return {};
}

}  // namespace

Result<Attachment> parse_attachment(std::string_view value) {
  Attachment attachment;
  if (value.find('=') == std::string_view::npos) {
    attachment.network = value;
    return attachment;
  }
  TRY(auto fields, split_csv(value));
  for (const std::string& field : fields) {
    size_t equals = field.find('=');
    if (equals == std::string::npos || equals == 0)
      return failure(Kind::InvalidArgument, "invalid field {}", field);
    CHECK(set(attachment, lower(trimmed(std::string_view(field).substr(0, equals))),
              lower(trimmed(std::string_view(field).substr(equals + 1)))));
  }
  if (attachment.network.empty()) return failure(Kind::InvalidArgument, "network name/id is not specified");
  return attachment;
}

Result<std::string> check_attachment(std::string_view value) {
  CHECK(parse_attachment(value));
  return std::string(value);
}

bool is_user_defined(std::string_view network) {
  return network != "default" && network != "bridge" && network != "host" && network != "none" &&
         !network.starts_with("container:");
}

}  // namespace berth::cli::options
