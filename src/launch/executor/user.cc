// Step ResolveUser: who the process runs as, in docker's words "user[:group]" or OCI's numbers.
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "launch/executor/accounts.h"
#include "launch/executor/beneath.h"
#include "launch/executor/executor.h"
#include "launch/executor/file_status.h"
#include "sys/kernel_call.h"

namespace berth::launch {

namespace call = sys::call;

AccountFile::AccountFile(int root, const char* path) {
  long handle = open_path_beneath(root, path);
  if (handle == -ENOENT || handle == -ENOTDIR) return;
  if (handle < 0) {
    error_ = handle;
    return;
  }
  FileStatus status;
  error_ = read_status(static_cast<int>(handle), status);
  call::close(static_cast<int>(handle));
  // Opening a device or a FIFO can have effects, so look before.
  if (error_ >= 0 && (!S_ISREG(status.mode) || status.size > kMaxAccountFile)) error_ = -EFBIG;
  if (error_ < 0) return;
  long fd = call::open_beneath(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
                               RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
  if (fd < 0)
    error_ = fd;
  else
    fd_ = static_cast<int>(fd);
}

AccountFile::~AccountFile() {
  if (fd_ >= 0) call::close(fd_);
}

int AccountFile::refill() {
  if (fd_ < 0 || size_ < 0) return -1;
  size_ = call::read(fd_, buffer_, sizeof buffer_);
  at_ = 0;
  if (size_ < 0) error_ = size_;
  return size_ > 0 ? static_cast<unsigned char>(buffer_[at_++]) : -1;
}

namespace {

struct User {
  uint32_t uid = 0;
  uint32_t gid = 0;
  bool found = false;
  FixedBuffer<255> name;
};

/// The first entry of that name or (numeric) uid; `home` gets its home directory.
template <class Home>
long find_user(int root, std::string_view text, bool numeric, uint32_t id, User& user, Home& home) {
  AccountFile file(root, "/etc/passwd");
  AccountReader<AccountFile> reader(file);
  while (reader.next(6)) {
    uint32_t uid = 0, gid = 0;
    if (!parse_id(reader.field(2), uid) || !parse_id(reader.field(3), gid)) continue;
    if (numeric ? uid != id : reader.field(0) != text) continue;
    if (uid > kMaxId || gid > kMaxId) return -ERANGE;
    user.uid = uid;
    user.gid = gid;
    user.name.assign(reader.field(0));
    home.assign(reader.field(5));
    user.found = true;
    return 0;
  }
  return file.error();
}

/// 1 when found, 0 when not, -errno.
long find_group(int root, std::string_view name, uint32_t& gid) {
  AccountFile file(root, "/etc/group");
  AccountReader<AccountFile> reader(file);
  while (reader.next(3)) {
    if (reader.field(0) == name && parse_id(reader.field(2), gid)) return gid > kMaxId ? -ERANGE : 1;
  }
  return file.error();
}

/// Groups as they gather: no doubles, bounded.
class Groups {
 public:
  Groups(std::array<uint32_t, kMaxGroups>& ids, uint32_t& count) : ids_(ids), count_(count) {}
  long add(uint32_t gid) {
    for (uint32_t i = 0; i < count_; ++i)
      if (ids_[i] == gid) return 0;
    if (count_ == kMaxGroups) return -E2BIG;
    ids_[count_++] = gid;
    return 0;
  }
  long add_memberships(int root, std::string_view user) {
    AccountFile file(root, "/etc/group");
    AccountReader<AccountFile> reader(file);
    while (reader.next(3)) {
      uint32_t gid = 0;
      if (!parse_id(reader.field(2), gid) || gid > kMaxId) continue;
      while (reader.next_member()) {
        if (reader.member() != user) continue;
        if (long error = add(gid); error < 0) return error;
        break;
      }
    }
    return file.error();
  }

 private:
  std::array<uint32_t, kMaxGroups>& ids_;
  uint32_t& count_;
};

Reason reason_of(long error) {
  if (error == -ERANGE) return Reason::IdOutOfRange;
  if (error == -EFBIG) return Reason::AccountFileTooLarge;
  if (error == -E2BIG) return Reason::TooManyGroups;
  return Reason::None;
}

}  // namespace

long Executor::resolve_name(const step::ResolveUser& step, int root, bool& group_given) {
  std::string_view text = step.name.view();
  size_t colon = text.find(':');
  std::string_view user_text = text.substr(0, colon);
  std::string_view group_text = colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1);
  if (user_text.empty()) user_text = "0";
  group_given = !group_text.empty();

  User user;
  uint32_t id = 0;
  // A number is always a uid, even where a user is named so (CVE-2016-3697).
  bool numeric = parse_id(user_text, id);
  bool negative = user_text.front() == '-' && parse_id(user_text.substr(1), id);
  if (negative) return blame(Reason::IdOutOfRange, -ERANGE, user_text);
  if (numeric && id > kMaxId) return blame(Reason::IdOutOfRange, -ERANGE, user_text);
  long error = find_user(root, user_text, numeric, id, user, home_);
  if (error < 0) return blame(reason_of(error), error, "/etc/passwd");
  if (!user.found && !numeric) return blame(Reason::NoSuchUser, -ENOENT, user_text);
  uid_ = user.found ? user.uid : id;
  gid_ = user.gid;

  if (group_given && !parse_id(group_text, gid_)) {
    error = find_group(root, group_text, gid_);
    if (error < 0) return blame(reason_of(error), error, "/etc/group");
    if (error == 0) return blame(Reason::NoSuchGroup, -ENOENT, group_text);
  }
  if (gid_ > kMaxId) return blame(Reason::IdOutOfRange, -ERANGE, group_text);
  Groups groups(groups_, group_count_);
  groups.add(gid_);
  if (group_given || user.name.empty()) return 0;
  error = groups.add_memberships(root, user.name.view());
  return error < 0 ? blame(reason_of(error), error, "/etc/group") : 0;
}

long Executor::perform(const step::ResolveUser& step) {
  // In the root by now: the host's tree is gone, or (exec) the container's mount namespace has been joined.
  long opened = call::open(AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (opened < 0) return opened;
  int root = static_cast<int>(opened);
  uid_ = step.uid;
  gid_ = step.gid;
  long error = 0;
  Groups groups(groups_, group_count_);
  groups_are_optional_ = step.named != 0 && step.name.view().empty() && step.additional_groups.empty();
  if (step.named != 0) {
    bool group_given = false;
    error = resolve_name(step, root, group_given);
  } else {
    User user;
    find_user(root, {}, true, uid_, user, home_);  // only for HOME
  }
  for (Text group : step.additional_groups) {
    if (error < 0) break;
    uint32_t gid = 0;
    if (!parse_id(group.view(), gid)) {
      error = find_group(root, group.view(), gid);
      if (error < 0)
        error = blame(reason_of(error), error, "/etc/group");
      else if (error == 0)
        error = blame(Reason::NoSuchGroup, -ENOENT, group.view());
    }
    if (error >= 0 && gid > kMaxId) error = blame(Reason::IdOutOfRange, -ERANGE, group.view());
    if (error >= 0) error = groups.add(gid);
    if (error < 0) blame(reason_of(error), error, group.view());
  }
  call::close(root);
  return error;
}

}  // namespace berth::launch
