// Fuzz target: what comes from criu and from beside a checkpoint's images: answers, logs, descriptors.json;
// and what the kernel says of mounts and groups.
#include <cstdint>
#include <string_view>

#include "launch/criu.h"
#include "launch/criu_container.h"
#include "launch/external_mounts.h"
#include "launch/stdio_record.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace berth;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)launch::decode_criu_answer(text);
  (void)launch::criu_log_errors(text);
  (void)launch::parse_descriptors(text);
  (void)launch::cgroup_roots(text);
  const auto mounts = launch::parse_mountinfo(text);
  spec::RuntimeSpec spec;
  for (const auto& mount : mounts)
    spec.mounts.push_back(
        {.destination = mount.at, .type = mount.type, .source = mount.root, .options = {"rbind"}});
  auto as_it_is = [](const std::string& path) { return path; };
  (void)launch::mounts_to_leave_out(spec, mounts, mounts, as_it_is);
  (void)launch::mounts_to_give(spec, mounts, {}, as_it_is);
  return 0;
}
