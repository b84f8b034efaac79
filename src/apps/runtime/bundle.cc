// Reading bundles.
#include "apps/runtime/bundle.h"

#include <sys/stat.h>

#include <cerrno>
#include <filesystem>

#include "launch/external_mounts.h"
#include "spec/runtime_json.h"
#include "sys/file.h"

namespace berth::runtime {
namespace {

constexpr size_t kMaxConfig = 16u << 20;

Result<std::string> absolute(const std::string& path) {
  std::error_code error;
  auto full = std::filesystem::absolute(path.empty() ? "." : path, error);
  if (error) return Error::from_errno("find", path, error.value());
  std::string text = full.lexically_normal();
  while (text.size() > 1 && text.ends_with('/')) text.pop_back();
  return text;
}

}  // namespace

Result<Bundle> read_bundle(const std::string& directory, const std::string& config) {
  Bundle bundle;
  TRY(bundle.path, absolute(directory));
  std::string file = config.starts_with('/') ? config : bundle.path + "/" + config;
  TRY(bundle.config, sys::read_file(file, kMaxConfig));
  TRY(bundle.spec, spec::parse_runtime_spec(bundle.config));
  const std::string& root = bundle.spec.root.path;
  bundle.rootfs = root.starts_with('/') ? root : bundle.path + "/" + root;
  struct stat status {};
  if (::stat(bundle.rootfs.c_str(), &status) != 0) return Error::from_errno("rootfs", bundle.rootfs, errno);
  return bundle;
}

void make_sources_absolute(spec::RuntimeSpec& spec, const std::string& bundle) {
  for (auto& mount : spec.mounts)
    if (launch::is_bind_mount(mount) && !mount.source.empty() && mount.source[0] != '/')
      mount.source = bundle + "/" + mount.source;
}

}  // namespace berth::runtime
