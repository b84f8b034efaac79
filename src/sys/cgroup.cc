// What is common to all versions: creation, opening, limits.
#include "sys/cgroup.h"

#include "base/format.h"
#include "sys/cgroup_versions.h"

namespace berth::sys {

Error CgroupNone::unsupported(std::string_view what) {
  return failure(Kind::Unsupported, "this host has no writable cgroups: berth cannot {} a container", what);
}

Result<Cgroup::Created> Cgroup::create(const CgroupHost& host, std::string_view path,
                                       const CgroupLimits& limits) {
  if (path.size() < 2 || path.front() != '/') {
    return failure(Kind::InvalidArgument, "invalid cgroup path \"{}\"", path);
  }
  CgroupLimits held = limits;
  Created created;
  TRY(created.warnings, check_limits(host.features(), held));
  std::string own(path);
  switch (host.version()) {
    case CgroupVersion::V2: {
      auto group = std::make_unique<CgroupV2>(host, std::move(own));
      CHECK(group->make(held, created.warnings));
      created.cgroup = std::move(group);
      break;
    }
    case CgroupVersion::V1:
    case CgroupVersion::Hybrid: {
      auto group = std::make_unique<CgroupV1>(host, std::move(own));
      CHECK(group->make(held, created.warnings));
      created.cgroup = std::move(group);
      break;
    }
    case CgroupVersion::None:
      created.cgroup = std::make_unique<CgroupNone>(host, std::move(own));
      break;
  }
  return created;
}

Result<std::unique_ptr<Cgroup>> Cgroup::open(const CgroupHost& host, std::string_view path) {
  auto opened = [&](auto group) -> Result<std::unique_ptr<Cgroup>> {
    if (!group->exists()) return failure(Kind::NotFound, "cgroup {} is gone", path);
    return std::unique_ptr<Cgroup>(std::move(group));
  };
  switch (host.version()) {
    case CgroupVersion::V2:
      return opened(std::make_unique<CgroupV2>(host, std::string(path)));
    case CgroupVersion::V1:
    case CgroupVersion::Hybrid:
      return opened(std::make_unique<CgroupV1>(host, std::string(path)));
    case CgroupVersion::None:
      break;
  }
  return std::unique_ptr<Cgroup>(std::make_unique<CgroupNone>(host, std::string(path)));
}

Result<std::vector<std::string>> Cgroup::apply(const CgroupLimits& limits) {
  CgroupLimits held = limits;
  TRY(auto warnings, check_limits(features_, held));
  CHECK(write_limits(held, warnings));
  return warnings;
}

}  // namespace berth::sys
