// Mounts of containers.
#include "apps/berth/options/mounts.h"

#include <unistd.h>

#include <charconv>

#include "apps/berth/options/csv.h"
#include "apps/berth/options/quantity.h"
#include "base/format.h"
#include "base/json.h"
#include "spec/dockerignore.h"

namespace berth::cli::options {
namespace {

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return result;
}

bool parse_bool(std::string_view text, bool& value) {
  for (std::string_view yes : {"1", "t", "T", "TRUE", "true", "True"}) {
    if (text == yes) {
      value = true;
      return true;
    }
  }
  for (std::string_view no : {"0", "f", "F", "FALSE", "false", "False"}) {
    if (text == no) {
      value = false;
      return true;
    }
  }
  return false;
}

Error bad_value(std::string_view key, std::string_view value) {
  return failure(Kind::InvalidArgument, "invalid value for {}: {}", key, value);
}

/// Collects the fields of one --mount.
class MountReader {
 public:
  MountReader() { mount_["Type"] = "volume"; }

  Result<void> field(const std::string& field) {
    size_t equals = field.find('=');
    std::string key = lower(std::string_view(field).substr(0, equals));
    if (equals == std::string::npos) return word(key, field);
    return pair(key, field.substr(equals + 1), field);
  }

  Result<Json> finish() {
    std::string type = mount_["Type"];
    if (type.empty()) return failure(Kind::InvalidArgument, "type is required");
    if (mount_.value("Target", "").empty()) return failure(Kind::InvalidArgument, "target is required");
    for (auto [key, prefix, owner] :
         {std::tuple{"VolumeOptions", "volume", "volume"}, std::tuple{"ImageOptions", "image", "image"},
          std::tuple{"BindOptions", "bind", "bind"}, std::tuple{"TmpfsOptions", "tmpfs", "tmpfs"}}) {
      if (mount_.contains(key) && type != owner) {
        return failure(Kind::InvalidArgument, "cannot mix '{}-*' options with mount type '{}'", prefix, type);
      }
    }
    CHECK(check_recursion());
    return std::move(mount_);
  }

 private:
  Result<void> word(const std::string& key, const std::string& field) {
    if (key == "readonly" || key == "ro") {
      mount_["ReadOnly"] = true;
    } else if (key == "volume-nocopy") {
      mount_["VolumeOptions"]["NoCopy"] = true;
    } else if (key == "bind-nonrecursive") {
      mount_["BindOptions"]["NonRecursive"] = true;
    } else {
      return failure(Kind::InvalidArgument, "invalid field '{}' must be a key=value pair", field);
    }
    return {};
  }

  Result<void> pair(const std::string& key, const std::string& value, const std::string& field) {
    if (key == "type") {
      mount_["Type"] = lower(value);
    } else if (key == "source" || key == "src") {
      mount_["Source"] = value.starts_with('.') ? absolute_path(value) : value;
    } else if (key == "target" || key == "dst" || key == "destination") {
      mount_["Target"] = value;
    } else if (key == "readonly" || key == "ro") {
      return flag(mount_["ReadOnly"], key, value);
    } else if (key == "consistency") {
      mount_["Consistency"] = lower(value);
    } else if (key.starts_with("bind-")) {
      return bind_option(key, value, field);
    } else if (key.starts_with("volume-")) {
      return volume_option(key, value, field);
    } else if (key == "image-subpath") {
      mount_["ImageOptions"]["Subpath"] = value;
    } else if (key == "tmpfs-size") {
      auto bytes = parse_bytes(value);
      if (!bytes) return bad_value(key, value);
      mount_["TmpfsOptions"]["SizeBytes"] = *bytes;
    } else if (key == "tmpfs-mode") {
      uint32_t mode = 0;
      auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), mode, 8);
      if (error != std::errc() || end != value.data() + value.size()) return bad_value(key, value);
      mount_["TmpfsOptions"]["Mode"] = mode;
    } else {
      return failure(Kind::InvalidArgument, "unexpected key '{}' in '{}'", key, field);
    }
    return {};
  }

  Result<void> flag(Json& target, const std::string& key, const std::string& value) {
    bool on = false;
    if (!parse_bool(value, on)) return bad_value(key, value);
    target = on;
    return {};
  }

  Result<void> bind_option(const std::string& key, const std::string& value, const std::string& field) {
    Json& options = mount_["BindOptions"];
    if (options.is_null()) options = Json::object();
    if (key == "bind-propagation") {
      options["Propagation"] = lower(value);
    } else if (key == "bind-nonrecursive") {
      return flag(options["NonRecursive"], key, value);
    } else if (key == "bind-create-src") {
      return flag(options["CreateMountpoint"], key, value);
    } else if (key == "bind-recursive") {
      if (value == "disabled") {
        options["NonRecursive"] = true;
      } else if (value == "writable") {
        options["ReadOnlyNonRecursive"] = true;
      } else if (value == "readonly") {
        options["ReadOnlyForceRecursive"] = true;
      } else if (value != "enabled") {
        return failure(
            Kind::InvalidArgument,
            "invalid value for {}: {} (must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")",
            key, value);
      }
    } else {
      return failure(Kind::InvalidArgument, "unexpected key '{}' in '{}'", key, field);
    }
    return {};
  }

  Result<void> volume_option(const std::string& key, const std::string& value, const std::string& field) {
    Json& options = mount_["VolumeOptions"];
    size_t equals = value.find('=');
    std::string name = value.substr(0, equals);
    std::string rest = equals == std::string::npos ? "" : value.substr(equals + 1);
    if (key == "volume-subpath") {
      options["Subpath"] = value;
    } else if (key == "volume-nocopy") {
      return flag(options["NoCopy"], key, value);
    } else if (key == "volume-label") {
      if (!name.empty()) options["Labels"][name] = rest;
    } else if (key == "volume-driver") {
      options["DriverConfig"]["Name"] = value;
    } else if (key == "volume-opt") {
      if (!name.empty()) options["DriverConfig"]["Options"][name] = rest;
    } else {
      return failure(Kind::InvalidArgument, "unexpected key '{}' in '{}'", key, field);
    }
    return {};
  }

  Result<void> check_recursion() {
    if (!mount_.contains("BindOptions")) return {};
    const Json& bind = mount_["BindOptions"];
    bool read_only = mount_.value("ReadOnly", false);
    if (bind.value("ReadOnlyNonRecursive", false) && !read_only) {
      return failure(Kind::InvalidArgument,
                     "option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction");
    }
    if (!bind.value("ReadOnlyForceRecursive", false)) return {};
    if (!read_only) {
      return failure(Kind::InvalidArgument,
                     "option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction");
    }
    if (bind.value("Propagation", "") != "rprivate") {
      return failure(
          Kind::InvalidArgument,
          "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in "
          "conjunction");
    }
    return {};
  }

  Json mount_;
};

}  // namespace

std::string absolute_path(std::string_view path) {
  if (path.starts_with('/')) return spec::clean_path(path);
  std::string here(4096, '\0');
  if (::getcwd(here.data(), here.size()) == nullptr) return spec::clean_path(path);
  here.resize(here.find('\0'));
  return spec::clean_path(fmt::format("{}/{}", here, path));
}

Result<Json> parse_mount(std::string_view value) {
  TRY(auto fields, split_csv(value));
  MountReader reader;
  for (const std::string& field : fields) CHECK(reader.field(field));
  return reader.finish();
}

Result<std::string> check_mount(std::string_view value) {
  CHECK(parse_mount(value));
  return std::string(value);
}

Result<Volumes> parse_volumes(const std::vector<std::string>& values) {
  Volumes volumes;
  for (const std::string& value : values) {
    auto bad = [&](std::string_view why) {
      return failure(Kind::InvalidArgument, "invalid spec: {}: {}", value, why);
    };
    if (value.empty()) return failure(Kind::InvalidArgument, "invalid empty volume spec");
    size_t colon = value.find(':');
    if (colon == std::string::npos) {
      volumes.anonymous.push_back(value);
      continue;
    }
    std::string source = value.substr(0, colon);
    std::string rest = value.substr(colon + 1);
    std::string target = rest.substr(0, rest.find(':'));
    if (source.empty() || target.empty() || rest.ends_with(':')) return bad("empty section between colons");
    size_t second = rest.find(':');
    if (second != std::string::npos && rest.find(':', second + 1) != std::string::npos)
      return bad("too many colons");
    if (source.starts_with('.')) source = absolute_path(source);
    volumes.binds.push_back(fmt::format("{}:{}", source, rest));
  }
  return volumes;
}

}  // namespace berth::cli::options
