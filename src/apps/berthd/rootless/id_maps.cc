// The ranges of /etc/subuid and /etc/subgid, or a single id.
#include "apps/berthd/rootless/id_maps.h"

#include <unistd.h>

#include "base/format.h"
#include "sys/id_mapper.h"
#include "sys/sub_ids.h"
#include "sys/user_directories.h"

namespace berth::berthd::rootless {

Result<std::string> write_id_maps(pid_t pid) {
  uid_t uid = ::geteuid();
  auto account = sys::find_account(uid);
  std::string name = account ? account->name : std::string();
  auto users = sys::read_sub_ids("/etc/subuid", name, uid);
  auto groups = sys::read_sub_ids("/etc/subgid", name, uid);
  std::string shown = name.empty() ? std::to_string(uid) : name;
  std::string why;
  if (users.empty() || groups.empty()) {
    why = fmt::format(
        "{} has no subordinate ids in {}: run \"usermod --add-subuids 100000-165535 "
        "--add-subgids 100000-165535 {}\" as root",
        shown, users.empty() ? "/etc/subuid" : "/etc/subgid", shown);
  } else {
    auto mapped =
        sys::write_id_maps(pid, sys::id_map_of_user(uid, users), sys::id_map_of_user(::getegid(), groups));
    if (mapped) return std::string();
    why = mapped.error().message();
  }
  CHECK(sys::write_id_maps(pid, sys::id_map_of_user(uid, {}), sys::id_map_of_user(::getegid(), {})));
  return fmt::format("containers have a single user id, root: {}", why);
}

}  // namespace berth::berthd::rootless
