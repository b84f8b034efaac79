// Device rules as a BPF program.
#include "sys/cgroup_devices.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <list>
#include <mutex>
#include <utility>

namespace berth::sys {
namespace {

uint32_t access_bits(const std::string& access) {
  uint32_t bits = 0;
  for (char c : access) {
    if (c == 'm') bits |= BPF_DEVCG_ACC_MKNOD;
    if (c == 'r') bits |= BPF_DEVCG_ACC_READ;
    if (c == 'w') bits |= BPF_DEVCG_ACC_WRITE;
  }
  return bits;
}

constexpr uint8_t kType = BPF_REG_2;
constexpr uint8_t kAccess = BPF_REG_3;
constexpr uint8_t kMajor = BPF_REG_4;
constexpr uint8_t kMinor = BPF_REG_5;
constexpr uint8_t kScratch = BPF_REG_1;

bpf_insn instruction(int code, uint8_t destination, uint8_t source, int16_t offset, int32_t immediate) {
  bpf_insn result{};
  result.code = static_cast<uint8_t>(code);
  result.dst_reg = destination;
  result.src_reg = source;
  result.off = offset;
  result.imm = immediate;
  return result;
}

bpf_insn load_context(uint8_t destination, size_t offset) {
  return instruction(BPF_LDX | BPF_W | BPF_MEM, destination, BPF_REG_1, static_cast<int16_t>(offset), 0);
}
bpf_insn move(uint8_t destination, uint8_t source) {
  return instruction(BPF_ALU | BPF_MOV | BPF_X, destination, source, 0, 0);
}
bpf_insn move_value(uint8_t destination, int32_t value) {
  return instruction(BPF_ALU | BPF_MOV | BPF_K, destination, 0, 0, value);
}
bpf_insn and_value(uint8_t destination, int32_t value) {
  return instruction(BPF_ALU | BPF_AND | BPF_K, destination, 0, 0, value);
}
bpf_insn shift_right(uint8_t destination, int32_t bits) {
  return instruction(BPF_ALU | BPF_RSH | BPF_K, destination, 0, 0, bits);
}
/// Compares 32 bits, as all fields of the context are: a major of 2^31 or more is not sign extended.
bpf_insn jump_if_not(uint8_t reg, int32_t value, int16_t over) {
  return instruction(BPF_JMP32 | BPF_JNE | BPF_K, reg, 0, over, value);
}
bpf_insn jump_if(uint8_t reg, int32_t value, int16_t over) {
  return instruction(BPF_JMP32 | BPF_JEQ | BPF_K, reg, 0, over, value);
}
bpf_insn leave() {
  return instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

/// Appends: if the request matches the exception, return the opposite of the default.
void append_exception(std::vector<bpf_insn>& program, const DeviceAccess::Exception& exception, bool allow) {
  std::vector<bpf_insn> tests;
  // Each test jumps over what follows when it fails; distances are filled in at the end.
  tests.push_back(jump_if_not(kType, exception.type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR, 0));
  if (exception.major) tests.push_back(jump_if_not(kMajor, static_cast<int32_t>(*exception.major), 0));
  if (exception.minor) tests.push_back(jump_if_not(kMinor, static_cast<int32_t>(*exception.minor), 0));
  constexpr uint32_t kAll = BPF_DEVCG_ACC_MKNOD | BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE;
  if (exception.access != kAll) {
    tests.push_back(move(kScratch, kAccess));
    if (allow) {
      // Allowed only when nothing beyond the exception's access is asked for.
      tests.push_back(and_value(kScratch, static_cast<int32_t>(kAll & ~exception.access)));
      tests.push_back(jump_if_not(kScratch, 0, 0));
    } else {
      // Denied as soon as anything in the exception's access is asked for.
      tests.push_back(and_value(kScratch, static_cast<int32_t>(exception.access)));
      tests.push_back(jump_if(kScratch, 0, 0));
    }
  }
  tests.push_back(move_value(BPF_REG_0, allow ? 1 : 0));
  tests.push_back(leave());
  for (size_t i = 0; i < tests.size(); ++i) {
    if ((tests[i].code & 0x07) == BPF_JMP32) tests[i].off = static_cast<int16_t>(tests.size() - i - 1);
  }
  program.insert(program.end(), tests.begin(), tests.end());
}

long bpf(int command, bpf_attr& attributes) {
  return ::syscall(SYS_bpf, command, &attributes, sizeof(attributes));
}

Result<UniqueFd> load_program(const std::vector<bpf_insn>& program) {
  static constexpr char kLicense[] = "Apache-2.0";
  bpf_attr attributes{};
  attributes.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  attributes.insns = reinterpret_cast<uint64_t>(program.data());
  attributes.insn_cnt = static_cast<uint32_t>(program.size());
  attributes.license = reinterpret_cast<uint64_t>(kLicense);
  std::memcpy(attributes.prog_name, "berth_devices", sizeof("berth_devices"));
  long fd = bpf(BPF_PROG_LOAD, attributes);
  if (fd < 0 && errno == EPERM) {
    // Before 5.11 programs are charged to RLIMIT_MEMLOCK.
    rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
    if (::setrlimit(RLIMIT_MEMLOCK, &unlimited) == 0) fd = bpf(BPF_PROG_LOAD, attributes);
  }
  if (fd < 0) return Error::from_errno("load device program", {}, errno);
  return UniqueFd(static_cast<int>(fd));
}

/// The most recently used programs. Their descriptors are shared by all groups with the same rules.
class ProgramCache {
 public:
  /// A descriptor that belongs to the caller.
  Result<UniqueFd> get(const DeviceAccess& access) {
    std::lock_guard lock(mutex_);
    auto found =
        std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.access == access; });
    if (found == entries_.end()) {
      TRY(UniqueFd fd, load_program(device_program(access)));
      entries_.push_front({access, std::move(fd)});
      if (entries_.size() > kSize) entries_.pop_back();
    } else {
      entries_.splice(entries_.begin(), entries_, found);
    }
    return entries_.front().program.duplicate();
  }

 private:
  static constexpr size_t kSize = 16;
  struct Entry {
    DeviceAccess access;
    UniqueFd program;
  };
  std::mutex mutex_;
  std::list<Entry> entries_;
};

/// The device program in force for exactly this group, if any.
Result<UniqueFd> attached_program(int directory) {
  uint32_t ids[16] = {};
  bpf_attr query{};
  query.query.target_fd = static_cast<uint32_t>(directory);
  query.query.attach_type = BPF_CGROUP_DEVICE;
  query.query.prog_ids = reinterpret_cast<uint64_t>(ids);
  query.query.prog_cnt = 16;
  if (bpf(BPF_PROG_QUERY, query) != 0) return Error::from_errno("query device program", {}, errno);
  if (query.query.prog_cnt == 0) return UniqueFd();
  bpf_attr get{};
  get.prog_id = ids[0];
  long fd = bpf(BPF_PROG_GET_FD_BY_ID, get);
  if (fd < 0) return Error::from_errno("open device program", {}, errno);
  return UniqueFd(static_cast<int>(fd));
}

}  // namespace

DeviceAccess reduce_device_rules(const std::vector<DeviceAccessRule>& rules) {
  DeviceAccess access;
  for (const auto& rule : rules) {
    if (rule.type == 'a') {
      access.allow_by_default = rule.allow;
      access.exceptions.clear();
      continue;
    }
    uint32_t bits = access_bits(rule.access);
    auto same = [&](const DeviceAccess::Exception& e) {
      return e.type == rule.type && e.major == rule.major && e.minor == rule.minor;
    };
    auto found = std::find_if(access.exceptions.begin(), access.exceptions.end(), same);
    bool adds = rule.allow != access.allow_by_default;
    if (adds && found != access.exceptions.end()) {
      found->access |= bits;
    } else if (adds) {
      access.exceptions.push_back({rule.type, rule.major, rule.minor, bits});
    } else if (found != access.exceptions.end()) {
      found->access &= ~bits;
      if (found->access == 0) access.exceptions.erase(found);
    }
  }
  return access;
}

std::vector<bpf_insn> device_program(const DeviceAccess& access) {
  std::vector<bpf_insn> program = {
      load_context(kType, offsetof(bpf_cgroup_dev_ctx, access_type)),
      load_context(kMajor, offsetof(bpf_cgroup_dev_ctx, major)),
      load_context(kMinor, offsetof(bpf_cgroup_dev_ctx, minor)),
      move(kAccess, kType),
      shift_right(kAccess, 16),
      and_value(kType, 0xffff),
  };
  for (const auto& exception : access.exceptions)
    append_exception(program, exception, !access.allow_by_default);
  program.push_back(move_value(BPF_REG_0, access.allow_by_default ? 1 : 0));
  program.push_back(leave());
  return program;
}

Result<void> attach_device_rules(int directory, const std::vector<DeviceAccessRule>& rules) {
  static ProgramCache cache;
  TRY(UniqueFd program, cache.get(reduce_device_rules(rules)));
  TRY(UniqueFd earlier, attached_program(directory));
  bpf_attr attach{};
  attach.target_fd = static_cast<uint32_t>(directory);
  attach.attach_bpf_fd = static_cast<uint32_t>(program.get());
  attach.attach_type = BPF_CGROUP_DEVICE;
  attach.attach_flags = BPF_F_ALLOW_MULTI;
  if (earlier) {
    attach.attach_flags |= BPF_F_REPLACE;
    attach.replace_bpf_fd = static_cast<uint32_t>(earlier.get());
  }
  if (bpf(BPF_PROG_ATTACH, attach) == 0) return {};
  return Error::from_errno("attach device program", {}, errno);
}

}  // namespace berth::sys
