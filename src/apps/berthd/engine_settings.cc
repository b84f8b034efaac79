// Options into settings.
#include "apps/berthd/engine_settings.h"

#include "engine/validate.h"
#include "registry/client/signature_policy.h"
#include "sys/file.h"

namespace berth::berthd {
namespace {

/// "20GB" in bytes; empty: 0.
Result<uint64_t> size_of(const std::string& text, const char* flag) {
  if (text.empty()) return uint64_t{0};
  auto bytes = engine::parse_size(text);
  if (!bytes) return std::move(bytes).error().in(flag);
  return static_cast<uint64_t>(*bytes);
}

Result<spec::LogConfig> default_log(const Options& options) {
  spec::LogConfig log = {.type = options.log_driver.empty() ? "json-file" : options.log_driver,
                         .config = options.log_options};
  if (auto valid = engine::validate_log_config(log); !valid) {
    return std::move(valid).error().in("--log-driver, --log-opt");
  }
  return log;
}

Result<registry::Settings> registry_settings(const Options& options) {
  registry::Settings settings{.insecure = options.insecure_registries,
                              .token_servers = options.token_servers,
                              .http_proxy = options.http_proxy,
                              .https_proxy = options.https_proxy,
                              .no_proxy = options.no_proxy,
                              .signature_policy = options.signature_policy,
                              .max_downloads = options.max_downloads,
                              .max_uploads = options.max_uploads,
                              .max_download_attempts = options.max_download_attempts};
  for (const std::string& text : options.insecure_registries) {
    if (auto valid = registry::check_insecure(text); !valid)
      return std::move(valid).error().in("--insecure-registry");
  }
  if (!options.signature_policy.empty()) CHECK(registry::read_signature_policy(options.signature_policy));
  for (const std::string& text : options.registry_mirrors) {
    auto mirror = registry::parse_mirror(text);
    if (!mirror) return std::move(mirror).error().in("--registry-mirror");
    settings.mirrors.push_back(std::move(*mirror));
  }
  return settings;
}

/// The text of a seccomp profile; empty: berth's own.
Result<std::string> seccomp_of(const std::string& profile) {
  constexpr size_t longest = size_t{4} << 20;
  if (profile.empty() || profile == "builtin" || profile == "default") return std::string();
  if (profile == "unconfined") return profile;
  return sys::read_file(profile, longest);
}

Result<engine::ContainerDefaults> container_defaults(const Options& options) {
  engine::ContainerDefaults defaults{.dns = options.dns,
                                     .dns_search = options.dns_search,
                                     .dns_options = options.dns_options,
                                     .cgroupns_mode = options.default_cgroupns_mode,
                                     .ipc_mode = options.default_ipc_mode,
                                     .init = options.init,
                                     .no_new_privileges = options.no_new_privileges};
  TRY(uint64_t shm_size, size_of(options.default_shm_size, "--default-shm-size"));
  defaults.shm_size = static_cast<int64_t>(shm_size);
  auto seccomp = seccomp_of(options.seccomp_profile);
  if (!seccomp) return std::move(seccomp).error().in("--seccomp-profile");
  defaults.seccomp = *std::move(seccomp);
  bool own = options.seccomp_profile.empty() || options.seccomp_profile == "default";
  if (!own) defaults.seccomp_name = options.seccomp_profile;
  CHECK(engine::check_defaults(defaults));
  return defaults;
}

}  // namespace

std::vector<std::string> cdi_directories(const Options& options) {
  auto feature = options.features.find("cdi");
  if (feature != options.features.end() && !feature->second) return {};
  return options.cdi_spec_dirs.value_or(std::vector<std::string>{"/etc/cdi", "/var/run/cdi"});
}

Result<engine::EngineSettings> engine_settings(const Options& options) {
  engine::EngineSettings settings{.shutdown_timeout = options.shutdown_timeout,
                                  .live_restore = options.live_restore,
                                  .default_ulimits = options.default_ulimits,
                                  .labels = options.labels,
                                  .cdi_spec_dirs = cdi_directories(options)};
  TRY(settings.container_defaults, container_defaults(options));
  TRY(settings.default_log, default_log(options));
  TRY(settings.log_total_bytes, size_of(options.log_total_size, "--log-total-size"));
  TRY(settings.storage_quota, size_of(options.storage_quota, "--storage-quota"));
  TRY(settings.registry, registry_settings(options));
  return settings;
}

}  // namespace berth::berthd
